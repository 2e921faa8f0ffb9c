"""What identifies the code this exporter generates: two artifacts of one version have the same kernels."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def code_version() -> str:
    """TVM's version and a digest of this exporter's own source, `tvm-0.27.0.post1/1f3a9c2e`.

    A digest, because a number that people must remember to raise is forgotten, and a latency table would then mix
    rows of different kernels. The price is that a changed comment asks for a new table.
    """
    return f"tvm-{version('apache-tvm')}/{source_digest(Path(__file__).parent)}"


def source_digest(root: Path) -> str:
    """Eight hex digits of a package's Python files."""
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]

"""What identifies the code this exporter generates."""

from functools import cache
from pathlib import Path

from splitkit.compiler import version as compiler
from splitkit.compiler.source import source_digest

NOT_GENERATING = frozenset({"memory.py", "staging.py", "version.py"})
"""Files of this package that have no part in what is generated."""

SAME_KERNELS: dict[str, str] = {"7c588798": "a87c7662"}
"""As `splitkit.compiler.version.SAME_KERNELS`, of this exporter's own part."""


@cache
def code_version() -> str:
    """The kernels' version and a digest of this exporter's own source, `tvm-0.27.0.post1/1f3a9c2e/77d0c1b2`."""
    digest = source_digest(Path(__file__).parent, apart_from=NOT_GENERATING)
    return f"{compiler.code_version()}/{SAME_KERNELS.get(digest, digest)}"

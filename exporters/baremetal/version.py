"""What identifies the code this exporter generates."""

from functools import cache
from pathlib import Path

from splitkit.compiler import version as compiler


@cache
def code_version() -> str:
    """The kernels' version and a digest of this exporter's own source, `tvm-0.27.0.post1/1f3a9c2e/77d0c1b2`."""
    return f"{compiler.code_version()}/{compiler.source_digest(Path(__file__).parent)}"

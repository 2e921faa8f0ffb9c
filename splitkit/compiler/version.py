"""What identifies the code that is generated: two artifacts of one version have the same kernels."""

from functools import cache
from importlib.metadata import version
from pathlib import Path

from splitkit.compiler.source import source_digest

_GRAPHS = Path(__file__).parents[1] / "graphs"
SOURCES = (Path(__file__).parent, _GRAPHS / "reading", _GRAPHS / "int8")
"""Packages that generated code depends on: this one, and the reading of models."""

NOT_GENERATING = frozenset({"source.py", "stages.py", "version.py"})
"""Files of the first that say something about generated code and have no part in it."""

SAME_KERNELS: dict[str, str] = {"9daab105": "40453d1e"}
"""Digests of this source whose kernels were compared with those of an older one and are the same: they go by its name,
so that what was measured then stays in use. An entry of a digest that has passed does nothing, and may be taken out.
"""


@cache
def code_version() -> str:
    """TVM's version and a digest of the source that reads and compiles, `tvm-0.27.0.post1/1f3a9c2e`.

    A digest, because a number that people must remember to raise is forgotten, and a latency table would then mix
    rows of different kernels.
    """
    digest = source_digest(*SOURCES, apart_from=NOT_GENERATING)
    return f"tvm-{version('apache-tvm')}/{SAME_KERNELS.get(digest, digest)}"

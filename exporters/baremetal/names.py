"""Names and types of the C interface."""

import re
from typing import TYPE_CHECKING

from splitkit.errors import BundleError

if TYPE_CHECKING:
    from splitkit.exporters.protocol import Artifact

_RESERVED = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
bool catch class delete explicit export false friend mutable namespace new operator private protected public
template this throw true try typename using virtual main
"""
"""Keywords of C99 and C++98, and `main`."""


C_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "uint16_t",  # its bits: C99 has no half
    "bool": "uint8_t",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""The type that holds a numpy dtype in the C interface."""


def identifier(text: str) -> str:
    """`text` as an identifier of C and C++: other characters become `_`, what cannot begin one is put after `net_`."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    return f"net_{name}" if not name or name[0].isdigit() or name in _RESERVED.split() else name


def distinct_identifiers(texts: list[str]) -> list[str]:
    """One identifier each, in order; a name taken before gets a number."""
    found: list[str] = []
    for text in texts:
        name, n = identifier(text), 1
        while name in found:
            n += 1
            name = f"{identifier(text)}_{n}"
        found.append(name)
    return found


def network_name(artifact: "Artifact") -> str | None:
    """What an artifact's sources and functions are called; None where it was not compiled to C.

    Raises:
        BundleError: it is no identifier, and so no name that this exporter gives.
    """
    name = artifact.report.get("name")
    if name is not None and (not isinstance(name, str) or identifier(name) != name):
        raise BundleError(f"{artifact.path}: report.name: {str(name)[:40]!r} is no C identifier", "export it again")
    return name

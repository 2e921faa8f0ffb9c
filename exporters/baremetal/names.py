"""Names that C accepts."""

import re

_RESERVED = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
bool catch class delete explicit export false friend mutable namespace new operator private protected public
template this throw true try typename using virtual main
"""
"""Keywords of C99 and C++98, and `main`."""


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

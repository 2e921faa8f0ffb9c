"""Names of classes: how two lists of them differ, in words that tell look-alikes apart."""

import unicodedata
from collections.abc import Sequence

from splitkit.errors import DataError


def shown_name(name: str) -> str:
    """A name as it is where it can be read without doubt, else quoted with its code points."""
    plain = name.isprintable() and name == name.strip() and name == unicodedata.normalize("NFC", name)
    return name if plain else ascii(name)


def names_in_short(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown_name(name) for name in names[:most]) + more


def code_name(name: str) -> str:
    """A name as code in Markdown, in tables too, whatever is in it."""
    return "`" + shown_name(name).replace("`", "'").replace("|", "\\|") + "`"


def check_names(names: Sequence[str], source: str) -> None:
    """Refuse names that cannot be kept, or that nobody could tell apart.

    Raises:
        DataError: a name is not UTF-8, or two differ in trailing spaces or in how accents are coded alone.
    """
    seen: dict[str, str] = {}
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(f"{source}: class {name!a}: the folder's name is not UTF-8", "rename it") from error
        twin = seen.setdefault(_spelled(name), name)
        if twin != name:
            raise DataError(f"{source}: classes {twin!a} and {name!a}: {_difference(twin, name)}", "join them")


def class_difference(then: Sequence[str], now: Sequence[str], where: tuple[str, str] = ("then", "now")) -> str | None:
    """How two data sets' classes differ, every odd one named; None where they are the same, in the same order.

    `where` says what the two are: "'cow' only in train".
    """
    gone = [name for name in then if name not in set(now)]
    new = [name for name in now if name not in set(then)]
    if not gone and not new:
        return None if list(then) == list(now) else f"order: {listed(then)} {where[0]}, {listed(now)} {where[1]}"
    pairs = [(a, b) for a in gone for b in new if _folded(a) == _folded(b)]
    parts = [f"{a!a} {where[0]} and {b!a} {where[1]}: {_difference(a, b)}" for a, b in pairs]
    paired = {name for pair in pairs for name in pair}
    for names, side in ((gone, where[0]), (new, where[1])):
        if rest := [name for name in names if name not in paired]:
            parts.append(f"{listed(rest)} only {side}")
    return "; ".join(parts)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, quoted, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(ascii(name) for name in names[:most]) + more


def _spelled(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _folded(name: str) -> str:
    return _spelled(name).casefold()


def _difference(a: str, b: str) -> str:
    """What tells two look-alikes apart."""
    if unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b):
        return "the accents are coded differently (composed and decomposed Unicode)"
    if a.strip() == b.strip():
        return "they differ in spaces at an end alone"
    return "they differ in capital letters alone" if a.casefold() == b.casefold() else "they look alike"

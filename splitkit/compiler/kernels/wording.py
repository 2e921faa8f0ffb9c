"""Parts of labels that several families share."""

from splitkit.compiler.codegen.tiling import Tile


def pair(value: tuple[int, int]) -> str:
    """`3`, or `3x1` where the two differ."""
    return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"


def pads(value: tuple[int, int, int, int]) -> str:
    """`1`, or all four where they differ."""
    return str(value[0]) if len(set(value)) == 1 else ",".join(map(str, value))


def tile(value: Tile | None) -> str:
    """What tuning chose, or nothing."""
    return f" tile {value.strips}x{value.pixels}" if value else ""

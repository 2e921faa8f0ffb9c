"""Where two search spaces part, in words."""

from typing import Any

from splitkit.space.search_space import SearchSpace


def space_difference(then: SearchSpace, now: SearchSpace) -> str | None:
    """The first field that is not the same: "phases[1].widths: [48, 64] then, [48, 72] now"; None for equal spaces."""
    return _difference("", then.model_dump(mode="json"), now.model_dump(mode="json"))


def _difference(where: str, then: Any, now: Any) -> str | None:
    if then == now:
        return None
    if isinstance(then, dict) and isinstance(now, dict) and then.keys() == now.keys():
        pairs = [(f"{where}.{key}" if where else key, then[key], now[key]) for key in then]
    elif _tables(then) and _tables(now):
        if len(then) != len(now):
            return f"{where}: {len(then)} then, {len(now)} now"
        pairs = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(then, now, strict=True))]
    else:
        return f"{where}: {then} then, {now} now"
    return next(found for pair in pairs if (found := _difference(*pair)))


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)

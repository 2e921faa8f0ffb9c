"""Reading JSON that may be damaged: only finite numbers, only the types that a dataclass declares."""

import json
import math
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

_adapters: dict[Any, TypeAdapter[Any]] = {}


def parse_json(text: str) -> Any:
    """What a JSON document holds.

    Raises:
        ValueError: it is not JSON, nested too deeply, or has a number that is not finite.
    """
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def typed(kind: type[T], body: Any) -> T:
    """`body` (of dicts, lists and plain values) as a dataclass, every field of its declared type.

    Raises:
        ValueError: one line that names the first field that is not, and what would be right.
    """
    try:
        if kind not in _adapters:
            _adapters[kind] = TypeAdapter(kind)
        found: T = _adapters[kind].validate_python(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from error
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _refused(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")

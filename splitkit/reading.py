"""Reading files that people and machines may have damaged, and writing JSON that every reader takes."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from splitkit.errors import ConfigError, reason

T = TypeVar("T")

_adapters: dict[Any, TypeAdapter[Any]] = {}


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    return parse_toml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """A text file without the byte-order mark that some editors put first.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise ConfigError(f"{path}: cannot be read: {reason(error)}") from error


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """What TOML text holds; `source` is named in errors.

    Raises:
        ConfigError: it is not TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except ValueError as error:  # of which TOMLDecodeError is one; a number may have too many digits
        raise ConfigError(f"{source}: not TOML: {reason(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: not TOML: nested too deeply") from error


def jsonable(body: Any) -> Any:
    """`body` with null for every number that is not finite, which JSON has no word for."""
    if isinstance(body, float):
        return body if math.isfinite(body) else None
    if isinstance(body, dict):
        return {key: jsonable(value) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [jsonable(value) for value in body]
    return body


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

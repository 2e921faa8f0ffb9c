"""What is wrong with a search space's TOML, in one line that names the phase, the field and what would be right."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from splitkit.errors import ConfigError

_WANTED = {
    "tuple_type": "choices are a list, even a single one: [{value}]",
    "list_type": "choices are a list, even a single one: [{value}]",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "int_parsing": "a whole number is wanted",
    "float_type": "a number is wanted",
    "float_parsing": "a number is wanted",
    "bool_type": "true or false is wanted",
    "bool_parsing": "true or false is wanted",
    "string_type": "a text in quotes is wanted",
    "model_type": "a table is wanted",
    "model_attributes_type": "a table is wanted",
    "too_short": "at least one choice is needed",
    "string_pattern_mismatch": "lower-case letters, digits, '_', '.' and '-' only",
}
"""What pydantic's messages say in Python's words, in the words of a TOML file."""

_LONGEST_VALUE = 40


def explain(error: ValidationError, source: str, model: type[BaseModel]) -> ConfigError:
    """The first thing wrong with a file, as `FILE: phases[2].kernels[1]: 4: what would be right`."""
    first = error.errors()[0]
    location, kind = first["loc"], first["type"]
    where = field_path(location)
    if kind == "missing":
        return ConfigError(f"{source}: {where}: is missing")
    if kind == "extra_forbidden":
        known = _known_fields(model, location[:-1])
        close = get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return ConfigError(f"{source}: {where}: unknown key", hint)
    if kind == "value_error":
        # A rule about several fields says itself which one: `stride: ...` within `phases[2]`.
        reason = str(first["ctx"]["error"])
        inside = bool(where) and isinstance(first["input"], dict)
        return ConfigError(f"{source}: {where}.{reason}" if inside else _join(source, where, reason))
    message = _WANTED.get(kind, first["msg"][:1].lower() + first["msg"][1:])
    value = _shown(first["input"])
    return ConfigError(_join(source, where, value, message.format(value=value)))


def field_path(location: Sequence[int | str]) -> str:
    """`phases[2].kernels[0]` for `("phases", 2, "kernels", 0)`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    return path


def _join(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict) else ""
    return text if len(text) <= _LONGEST_VALUE else ""


def _known_fields(model: Any, location: Sequence[int | str]) -> list[str]:
    for part in location:
        if get_origin(model) is dict:  # the part is a key
            model = get_args(model)[1]
        elif isinstance(part, str):
            annotation = model.model_fields[part].annotation
            # `phases` is a tuple of tables: its fields are those of one of them.
            inner = () if get_origin(annotation) is dict else get_args(annotation)
            model = inner[0] if inner else annotation
    return list(model.model_fields)

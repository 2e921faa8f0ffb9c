"""Find and read profiles: by name among those that come with splitkit, or from a TOML file."""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from splitkit.errors import ConfigError
from splitkit.profiles.schema import DeviceProfile, LinkProfile, System
from splitkit.reading import parse_toml, read_text

Kind = Literal["devices", "links", "systems"]
Model = TypeVar("Model", bound=BaseModel)

KINDS: tuple[Kind, ...] = ("devices", "links", "systems")
PARTS: dict[str, Kind] = {"sensor": "devices", "link": "links", "aggregator": "devices"}


def profile_names(kind: Kind) -> list[str]:
    """Names of the profiles of one kind that come with splitkit, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder(kind).iterdir() if entry.name.endswith(".toml"))


def profile_text(kind: Kind, name_or_path: str | Path) -> str:
    """The TOML of one profile, comments included.

    Raises:
        ConfigError: there is no such profile or file.
    """
    return _read(kind, name_or_path)[0]


def load_device(name_or_path: str | Path) -> DeviceProfile:
    """A device by name, or from a TOML file (anything with the suffix .toml or a path separator).

    Raises:
        ConfigError: no such profile, not TOML, or a field that is missing, unknown or out of range.
    """
    text, source = _read("devices", name_or_path)
    return _check(DeviceProfile, parse_toml(text, source), source)


def load_link(name_or_path: str | Path) -> LinkProfile:
    """A link by name or from a TOML file. Raises as `load_device` does."""
    text, source = _read("links", name_or_path)
    return _check(LinkProfile, parse_toml(text, source), source)


def load_system(name_or_path: str | Path) -> System:
    """A system by name or from a TOML file. Each part is a name, a file relative to the system's, or a table.

    Raises as `load_device` does.
    """
    text, source = _read("systems", name_or_path)
    body = parse_toml(text, source)
    hubs = body.get("hubs", [])
    named = [(body, part, kind, part) for part, kind in PARTS.items()]
    for i, hub in enumerate(hubs if isinstance(hubs, list) else []):
        parts: dict[str, Kind] = {"device": "devices", "link": "links"}
        named += [(hub, part, kind, f"hubs.{i}.{part}") for part, kind in parts.items() if isinstance(hub, dict)]
    for table, part, kind, where in named:
        reference = table.get(part)
        if isinstance(reference, str):
            table[part] = _resolve(kind, reference, name_or_path, f"{source}: {where}")
    return _check(System, body, source)


def _resolve(kind: Kind, reference: str, system: str | Path, where: str) -> BaseModel:
    """The part of a system that `reference` names."""
    if _is_file(reference):
        path = Path(system).parent / reference
        if not path.is_file():
            raise ConfigError(f"{where}: there is no file {path}")
        return load_device(path) if kind == "devices" else load_link(path)
    if reference not in profile_names(kind):
        raise ConfigError(f"{where}: no {_singular(kind)} is called {reference!r}", _known(kind))
    return load_device(reference) if kind == "devices" else load_link(reference)


def _folder(kind: Kind) -> Traversable:
    return resources.files("splitkit.profiles") / kind


def _is_file(name_or_path: str | Path) -> bool:
    path = Path(name_or_path)
    return isinstance(name_or_path, Path) or path.suffix == ".toml" or path.name != str(name_or_path)


def _read(kind: Kind, name_or_path: str | Path) -> tuple[str, str]:
    """Text of a profile, and how to call it in errors."""
    if not _is_file(name_or_path):
        name = str(name_or_path)
        if name not in profile_names(kind):
            raise ConfigError(f"no {_singular(kind)} is called {name!r}", _known(kind))
        return (_folder(kind) / f"{name}.toml").read_text(encoding="utf-8"), f"{_singular(kind)} {name}"
    path = Path(name_or_path)
    return read_text(path), str(path)


def _check(model: type[Model], body: dict[str, Any], source: str) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(first["type"], first["msg"])
        hint = f"known: {', '.join(model.model_fields)}" if first["type"] == "extra_forbidden" else None
        raise ConfigError(": ".join(part for part in (source, where, message) if part), hint) from error


def _singular(kind: Kind) -> str:
    return kind.removesuffix("s")


def _known(kind: Kind) -> str:
    return f"known: {', '.join(profile_names(kind))}; or a .toml file"

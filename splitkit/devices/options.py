"""A profile's `options`: what only one kind of device understands, checked by that kind's own pydantic model."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from splitkit.errors import ConfigError
from splitkit.profiles.schema import DeviceProfile

Options = TypeVar("Options", bound=BaseModel)


def read_options(profile: DeviceProfile, model: type[Options]) -> Options:
    """The profile's options as `model`, which should refuse unknown keys (`extra="forbid"`).

    Raises:
        ConfigError: a field is missing, unknown or out of range; names the device and the field.
    """
    try:
        return model.model_validate(dict(profile.options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("options", *(str(part) for part in first["loc"])))
        message = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(first["type"], first["msg"])
        raise ConfigError(
            f"device {profile.name}: {where}: {message}",
            f"kind {profile.kind} knows {', '.join(model.model_fields)}",
        ) from error

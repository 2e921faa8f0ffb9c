"""A side of a system measured on all boards that a tracker knows under one key."""

from splitkit.errors import ConfigError
from splitkit.profiles.schema import System
from splitkit.sides import Side

KIND = "rpc"


def behind_tracker(system: System, side: Side, tracker: str | None, key: str | None) -> System:
    """The system with its side's boards found through another tracker, or under another key, than the profile's.

    Raises:
        ConfigError: the side's device is not of kind `rpc`: a search would not look for such rows.
    """
    given = {name: value for name, value in (("tracker", tracker), ("key", key)) if value is not None}
    if not given:
        return system
    profile = system.device(side)
    if profile.kind != KIND:
        raise ConfigError(
            f"device {profile.name}: kind: {profile.kind}: only boards of kind {KIND} are found through a tracker",
            'docs/guides/farm.md: a profile with kind = "rpc" and the boards\' target',
        )
    options = {name: value for name, value in profile.options.items() if name not in ("host", "port")} | given
    return system.model_copy(update={side: profile.model_copy(update={"options": options})})

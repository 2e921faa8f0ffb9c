"""What a profile of kind `rpc` says in its `options`."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from splitkit.addresses import parse_address
from splitkit.errors import ConfigError
from splitkit.profiles.schema import DeviceProfile

KIND = "rpc"

Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

TRACKER_PORT = 9190
"""TVM's own default."""


class RpcOptions(BaseModel):
    """One board by its address, or any board that a tracker knows under a key.

    Attributes:
        host, port: of one board's server.
        tracker: `HOST`, `HOST:PORT` or `[IPV6]:PORT` of the tracker, 9190 by default.
        key: what the boards call themselves.
        timeout_s: how long a board may take for one step (connecting, uploading, one series of runs).
        agreement: relative deviation from the other boards beyond which a board's timings are not believed.
        processor: the boards' fingerprint, as `splitkit bench` reports it. Given, no board is asked just to find rows
            in the table, and a board with another processor is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str | None = None
    port: Port | None = None
    tracker: str | None = None
    key: Annotated[str, Field(pattern=r"^[^:\s]+$")] | None = None
    timeout_s: Positive = 60.0
    agreement: Positive = 0.15
    processor: str | None = None

    @field_validator("tracker")
    @classmethod
    def _is_an_address(cls, tracker: str | None) -> str | None:
        if tracker is not None:
            parse_address(tracker, TRACKER_PORT)
        return tracker

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str | None) -> str | None:
        if host is not None and parse_address(host, 1) != (host, 1):
            raise ValueError(f"{host!r} is not a host alone: the port has its own field, and IPv6 needs no brackets")
        return host

    @model_validator(mode="after")
    def _names_a_board(self) -> Self:
        if (self.host is None) == (self.tracker is None):
            raise ValueError("either host and port, or tracker and key, are needed")
        if self.host is not None and self.port is None:
            raise ValueError("port: is missing")
        if self.tracker is not None and self.key is None:
            raise ValueError("key: is missing")
        return self

    @property
    def tracker_address(self) -> tuple[str, int]:
        """Host and port of the tracker."""
        assert self.tracker is not None
        return parse_address(self.tracker, TRACKER_PORT)


def behind_tracker(profile: DeviceProfile, tracker: str | None, key: str | None) -> DeviceProfile:
    """The profile with its boards found through another tracker, or under another key, than it says itself.

    Raises:
        ConfigError: it is not of kind `rpc`: a search would not look for such rows.
    """
    given = {name: value for name, value in (("tracker", tracker), ("key", key)) if value is not None}
    if not given:
        return profile
    if profile.kind != KIND:
        raise ConfigError(
            f"device {profile.name}: kind: {profile.kind}: only boards of kind {KIND} are found through a tracker",
            'docs/guides/farm.md: a profile with kind = "rpc" and the boards\' target',
        )
    options = {name: value for name, value in profile.options.items() if name not in ("host", "port")} | given
    return profile.model_copy(update={"options": options})

"""How long a peer may be silent: a fixed time, and a multiple of what the link itself is predicted to take."""

from dataclasses import dataclass
from typing import Self

from splitkit.profiles.schema import LinkProfile
from splitkit.runtime.wire import HEADER_BYTES

MULTIPLE = 4.0
"""A link may be this many times slower than its profile says before anybody is called silent."""

GREETING_BYTES = 8192
"""More than a TLS handshake with certificates on both sides and a HELLO take together."""

GREETING_S = 10.0
"""How long a greeting may take on a link that takes no time itself, whatever the timeout."""


@dataclass(frozen=True)
class Allowance:
    """Seconds that a peer is waited for.

    Attributes:
        silence_s: without progress, in receiving as in sending: `--timeout` and `MULTIPLE` times the link's prediction
            for one frame of all views.
        greeting_s: in all, from connecting to a whole HELLO.
    """

    silence_s: float = 30.0
    greeting_s: float = GREETING_S

    @classmethod
    def of(cls, link: LinkProfile, payload_bytes: int, views: int, timeout_s: float) -> Self:
        """On that link, one payload of each view per frame."""
        frame_us, greeting_us = (link.latency_us(n, views) for n in (HEADER_BYTES + payload_bytes, GREETING_BYTES))
        return cls(timeout_s + MULTIPLE * frame_us / 1e6, min(timeout_s, GREETING_S) + MULTIPLE * greeting_us / 1e6)

"""Where somebody listens: `HOST`, `HOST:PORT`, `[::1]:PORT` or `::1`, read and written in one way everywhere."""

import ipaddress
import re

_BRACKETED = re.compile(r"\[([^\[\]\s]+)\](?::([0-9]{1,5}))?")
_PLAIN = re.compile(r"([^\[\]:\s]+)(?::([0-9]{1,5}))?")


def parse_address(text: str, default_port: int, listening: bool = False) -> tuple[str, int]:
    """Host and port. A numeric IPv6 address stands in brackets where a port follows it.

    Args:
        default_port: the port where none is given.
        listening: port 0, any free one, is then a port as well.

    Raises:
        ValueError: that is no address; the message says what would be.
    """
    if _is_ipv6(text):
        return text, default_port
    found = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
    if found is None or (text.startswith("[") and not _is_ipv6(found[1])):
        raise ValueError(f"{text!r} is not HOST, HOST:PORT or [IPV6]:PORT")
    port, least = int(found[2] or default_port), 0 if listening else 1
    if not least <= port <= 65535:
        raise ValueError(f"{text!r}: port {port} does not exist: {least} to 65535 do")
    return found[1], port


def format_address(host: str, port: int) -> str:
    """The text that `parse_address` reads back."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True

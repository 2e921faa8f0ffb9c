import pytest

from splitkit.addresses import format_address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4747", ("127.0.0.1", 4747)),
        ("camera-3", ("camera-3", 9)),
        ("[::1]:4747", ("::1", 4747)),
        ("[::1]", ("::1", 9)),
        ("::1", ("::1", 9)),
        ("fe80::1%eth0", ("fe80::1%eth0", 9)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
        ("host:65535", ("host", 65535)),
    ],
)
def test_names_and_numbers_of_both_versions_are_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, 9) == expected


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 4747), ("::1", 4747), ("fe80::1%eth0", 1), ("host", 65535)])
def test_what_is_printed_is_read_back(host: str, port: int) -> None:
    assert parse_address(format_address(host, port), 9) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":4747", "host:", "host:port", "host:²", "host:-1", "host:1:2", "[host]:1", "[::1", "::1]:1", "[]:1", "a b:1",
     "host:1 ", "host:123456", "[::1]4747"],
)  # fmt: skip
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST, HOST:PORT"):
        parse_address(text, 9)


def test_ports_exist() -> None:
    for text in ("host:65536", "[::1]:99999", "host:0"):
        with pytest.raises(ValueError, match="does not exist: 1 to 65535 do"):
            parse_address(text, 9)
    assert parse_address("host:0", 9, listening=True) == ("host", 0)
    with pytest.raises(ValueError, match="does not exist: 0 to 65535 do"):
        parse_address("host:65536", 9, listening=True)

"""Addresses as people write them."""

import pytest

from interpose.net.address import SocketAddress, ip_address, is_name, looks_numeric, parse_address


@pytest.mark.parametrize(
    ("text", "address", "written"),
    [
        ("127.0.0.1:8080", SocketAddress("127.0.0.1", 8080), "127.0.0.1:8080"),
        (":8080", SocketAddress("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("0.0.0.0:0", SocketAddress("0.0.0.0", 0), "0.0.0.0:0"),
        ("[::1]:65535", SocketAddress("::1", 65535), "[::1]:65535"),
        ("[::]:80", SocketAddress("::", 80), "[::]:80"),
        ("LocalHost:080", SocketAddress("localhost", 80), "localhost:80"),
        ("proxy.example:3128", SocketAddress("proxy.example", 3128), "proxy.example:3128"),
        ("unix:/run/x.sock", SocketAddress("", 0, "/run/x.sock"), "unix:/run/x.sock"),
        ("unix:x", SocketAddress("", 0, "x"), "unix:x"),
    ],
)
def test_an_address_is_read_and_written(text: str, address: SocketAddress, written: str) -> None:
    assert parse_address(text) == address
    assert str(address) == written


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("8080", "'8080' has no port; write host:port, :port, [v6]:port or unix:path."),
        ("", "'' has no port; write host:port, :port, [v6]:port or unix:path."),
        ("host:", "'' in 'host:' is not a port; write a number from 0 (any free port) to 65535."),
        ("host:65536", "'65536' in 'host:65536' is not a port; write a number from 0 (any free port) to 65535."),
        ("host:-1", "'-1' in 'host:-1' is not a port; write a number from 0 (any free port) to 65535."),
        ("host:+80", "'+80' in 'host:+80' is not a port; write a number from 0 (any free port) to 65535."),
        ("host: 80", "' 80' in 'host: 80' is not a port; write a number from 0 (any free port) to 65535."),
        ("host:8_0", "'8_0' in 'host:8_0' is not a port; write a number from 0 (any free port) to 65535."),
        (
            "host:\u0668\u0660",
            "'\u0668\u0660' in 'host:\u0668\u0660' is not a port; write a number from 0 (any free port) to 65535.",
        ),
        ("::1:80", "'::1:80' is ambiguous; write an IPv6 address in brackets: [::1]:80."),
        ("[::1:80", "'[::1:80' is ambiguous; write an IPv6 address in brackets: [::1]:80."),
        ("[127.0.0.1]:80", "'127.0.0.1' in '[127.0.0.1]:80' is not an IPv6 address."),
        ("[::g]:80", "'::g' in '[::g]:80' is not an IPv6 address."),
        ("[]:80", "'' in '[]:80' is not an IPv6 address."),
        ("*:80", "'*:80' has no host; write 0.0.0.0:80 for every IPv4 address or [::]:80 for IPv6."),
        ("a b:80", "'a b' in 'a b:80' is not a host name or an address."),
        ("http://h:80", "'http://h:80' is a URL; write only its host and port, as host:port."),
        ("127.1:80", "'127.1' in '127.1:80' is not an IPv4 address; write four numbers from 0 to 255."),
        ("256.0.0.1:80", "'256.0.0.1' in '256.0.0.1:80' is not an IPv4 address; write four numbers from 0 to 255."),
        ("unix:", "'unix:' needs the path of a socket after it."),
        ("unix:a\0b", "'unix:' needs the path of a socket after it."),
        ("unix:/" + "x" * 107, f"The path of the Unix socket '/{'x' * 107}' is longer than 107 bytes."),
    ],
)
def test_a_bad_address_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        (":80", True), ("127.8.9.1:80", True), ("[::1]:80", True), ("localhost:80", True), ("unix:/x", True),
        ("0.0.0.0:80", False), ("[::]:80", False), ("10.0.0.1:80", False), ("proxy.example:80", False),
    ],
)  # fmt: skip
def test_a19_whether_others_can_reach_it_is_known(text: str, is_loopback: bool) -> None:
    assert parse_address(text).is_loopback is is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "0x7f000001", "0X7F.1", "2130706433", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.0x1", "00.0.0.0", "1.2.3.4.5",
        "0x", "09", "256.1.1.1", "127.0.0.1.", "x.1", "1",
    ],
)  # fmt: skip
def test_a20_what_some_resolver_takes_for_an_address_is_no_name(host: str) -> None:
    assert looks_numeric(host)
    assert not is_name(host)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.com", True), ("a_b.example", True), ("xn--bcher-kva.example", True), ("1and1.com", True), ("x", True),
        ("a..b", False), (".a", False), ("-a", False), ("a b", False), ("a\0", False), ("bücher.example", False),
        ("127。0。0。1", False), ("%31", False), ("", False), ("a" * 255, False), ("a/b", False), ("::1", False),
    ],
)  # fmt: skip
def test_names_are_told_from_the_rest(host: str, name: bool) -> None:
    assert is_name(host) is name


@pytest.mark.parametrize(
    "host", ["127.1", "0177.0.0.1", "127.0.0.01", "\u0660.0.0.0", "[::1]", "127.0.0.1 ", "localhost"]
)
def test_only_the_canonical_form_is_an_address(host: str) -> None:
    assert ip_address(host) is None

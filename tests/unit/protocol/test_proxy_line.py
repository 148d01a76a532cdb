"""The PROXY protocol: what is read, what is refused, and that what we write says what it should."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.core.failure import Failure, Side
from interpose.core.stream import UNKNOWN, Address
from interpose.protocol.proxy_line import MAX_BYTES, SIGNATURE, ProxyLine, proxy_line, read_proxy_line

V4 = bytes([192, 0, 2, 7, 198, 51, 100, 9]) + b"\xc3\x50\x01\xbb"  # 192.0.2.7:50000 -> 198.51.100.9:443
CLIENT, SERVER = Address("192.0.2.7", 50000), Address("198.51.100.9", 443)


def block(code: int, content: bytes, command: int = 0x21, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return SIGNATURE + bytes([command, code]) + size.to_bytes(2, "big") + content


def v6(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


def path(text: bytes) -> bytes:
    return text.ljust(108, b"\0")


GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.9 50000 443\r\n", CLIENT, SERVER),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", *[Address("255.255.255.255", 65535)] * 2),
    (b"PROXY TCP6 2001:db8::7 2001:DB8::1 1 2\r\n", Address("2001:db8::7", 1), Address("2001:db8::1", 2)),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", Address("192.0.2.7", 1), Address("::1", 2)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 whatever 65536 x\r\n", None, None),
    (block(0x11, V4), CLIENT, SERVER),
    (block(0x12, V4), CLIENT, SERVER),
    (block(0x11, V4 + b"\x03\x00\x04\x01\x02\x03\x04"), CLIENT, SERVER),
    (block(0x11, V4 + bytes(MAX_BYTES - 16 - 12)), CLIENT, SERVER),
    (block(0x21, v6("2001:db8::7") + v6("::1") + b"\0\1\0\2"), Address("2001:db8::7", 1), Address("::1", 2)),
    (block(0x31, path(b"/run/a") + path(b"/run/b")), Address("/run/a", 0), Address("/run/b", 0)),
    (block(0x31, path(b"") + path(b"/run/\x1b\xff")), Address("", 0), Address("/run/\\x1b\\\\xff", 0)),
    (block(0x00, b""), None, None),
    (block(0x00, b"anything"), None, None),
    (block(0x10, V4), None, None),
    (block(0x00, b"", command=0x20), None, None),
    (block(0x11, b"", command=0x20), None, None),
    (block(0xFF, b"xyz", command=0x20), None, None),
]

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 192.0.2.7 198.51.100.9 50000 443\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 192.0.2.7 198.51.100.9 50000 443\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.9 50000 443\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN \x00\r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.9 50000 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 50000 443 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 50000\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 50000 443\n\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 65536 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 0 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 050 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 +50 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.9 5_0 443\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.9 50000 443\r\n",
    b"PROXY TCP4 192.0.02.7 198.51.100.9 50000 443\r\n",
    b"PROXY TCP4 3221225991 198.51.100.9 50000 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 443\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.9 50000 443\r\n",
    b"PROXY TCP6 fe80::1%lo ::1 50000 443\r\n",
    b"PROXY TCP6 [::1] ::1 50000 443\r\n",
    b"PROXY TCP4 " + b"1" * 96 + b"\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    SIGNATURE[:-1] + b"\r\x21\x11\x00\x0c" + V4,
    block(0x11, V4, command=0x11),
    block(0x11, V4, command=0x22),
    block(0x41, V4),
    block(0x13, V4),
    block(0x11, V4[:-1]),
    block(0x21, V4),
    block(0x31, path(b"/run/a")),
    block(0x11, V4[:8] + b"\0\0\1\xbb"),
    block(0x11, V4 + bytes(MAX_BYTES - 16 - 11)),
    block(0x00, b"", length=65535),
]


@pytest.mark.parametrize(("wire", "peer", "local"), GOOD)
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"PROXY TCP4", b"\xff" * 200])
def test_a_header_says_who_is_there_however_it_arrives(
    wire: bytes, peer: Address | None, local: Address | None, rest: bytes
) -> None:
    for size in range(len(wire)):
        assert read_proxy_line(wire[:size]) is None
    assert read_proxy_line(wire + rest) == ProxyLine(peer, local, len(wire))


@pytest.mark.parametrize("wire", BAD)
@pytest.mark.parametrize("rest", [b"", b"more\r\n"])
def test_what_is_no_header_is_refused_however_it_arrives(wire: bytes, rest: bytes) -> None:
    whole = wire + rest
    verdicts = [_verdict(whole[:size]) for size in range(len(whole) + 1)]
    assert verdicts[-1] == "refused"
    assert verdicts == sorted(verdicts, key=["more", "refused"].index)


def _verdict(data: bytes) -> str:
    try:
        line = read_proxy_line(data)
    except Failure as failure:
        is_sound = failure.kind == "http_request_error" and failure.side is Side.DOWNSTREAM
        return "refused" if is_sound and failure.detail.isprintable() else repr(failure)
    return "more" if line is None else "read"


addresses = st.one_of(
    st.builds(lambda host, port: Address(str(host), port), st.ip_addresses(v=4), st.integers(1, 65535)),
    st.builds(
        lambda host, port: Address(str(host), port),
        st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None and not address.scope_id),
        st.integers(1, 65535),
    ),
)


@given(addresses, addresses, st.sampled_from(["v1", "v2"]), st.binary(max_size=40))
def test_what_is_written_is_read_again(peer: Address, local: Address, version: str, rest: bytes) -> None:
    wire = proxy_line(version, peer, local)
    assert read_proxy_line(wire + rest) == ProxyLine(peer, local, len(wire))
    assert version != "v1" or (len(wire) <= 107 and wire.isascii())


begun = st.one_of(
    st.sampled_from([wire for wire, *_ in GOOD] + BAD),
    st.binary(max_size=60),
    st.binary(max_size=60).map(SIGNATURE.__add__),
    st.binary(max_size=120).map(b"PROXY TCP4 ".__add__),
    st.from_regex(rb"PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f.:]{1,12}){0,5} ?\r\n", fullmatch=True),
)


@given(begun, st.binary(max_size=8), st.data())
def test_any_bytes_get_one_verdict(wire: bytes, rest: bytes, data: st.DataObject) -> None:
    wire += rest
    whole = _verdict(wire)
    cut = _verdict(wire[: data.draw(st.integers(0, len(wire)))])
    assert cut in ("more", whole)


@pytest.mark.parametrize(
    ("version", "peer", "local", "wire"),
    [
        ("v1", CLIENT, SERVER, b"PROXY TCP4 192.0.2.7 198.51.100.9 50000 443\r\n"),
        ("v1", Address("::1", 7), Address("2001:db8::1", 8), b"PROXY TCP6 ::1 2001:db8::1 7 8\r\n"),
        ("v1", Address("fe80::1%eth0", 7), Address("fe80::2%eth0", 8), b"PROXY TCP6 fe80::1 fe80::2 7 8\r\n"),
        ("v1", Address("", 0), Address("/run/a", 0), b"PROXY UNKNOWN\r\n"),
        ("v1", UNKNOWN, SERVER, b"PROXY UNKNOWN\r\n"),
        ("v2", CLIENT, SERVER, block(0x11, V4)),
        ("v2", Address("", 0), Address("/run/a", 0), block(0x31, path(b"") + path(b"/run/a"))),
        ("v2", UNKNOWN, SERVER, block(0, b"")),
        ("v2", UNKNOWN, Address("/run/a", 0), block(0, b"")),
        ("v2", CLIENT, Address("/run/a", 0), block(0, b"")),
    ],
)
def test_a_header_is_written_as_the_standard_has_it(version: str, peer: Address, local: Address, wire: bytes) -> None:
    assert proxy_line(version, peer, local) == wire


def test_two_families_are_told_in_the_wider_one() -> None:
    wire = proxy_line("v1", Address("192.0.2.7", 1), Address("::1", 2))
    assert wire in (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", b"PROXY TCP6 ::ffff:c000:207 ::1 1 2\r\n")

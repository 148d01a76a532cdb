"""ClientHellos: those of real clients, and those that nobody should send."""

import ssl
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpose.core.failure import Failure
from interpose.protocol.client_hello import MAX_BYTES, MAX_RECORDS, ClientHello, read_client_hello


def real_hello(name: str | None, *protocols: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What OpenSSL sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size, "big") + content


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


def sni(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, bytes([kind]) + vector(2, name)))


def record(content: bytes, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    return bytes([kind]) + version + vector(2, content)


def handshake(body: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + vector(3, body)


def body(
    extensions: bytes | None = b"",
    session: bytes = b"",
    suites: bytes = b"\x13\x01",
    compression: bytes = b"\0",
    rest: bytes = b"",
) -> bytes:
    tail = b"" if extensions is None else vector(2, extensions)
    return b"\x03\x03" + bytes(32) + vector(1, session) + vector(2, suites) + vector(1, compression) + tail + rest


def hello(extensions: bytes | None = b"") -> bytes:
    return record(handshake(body(extensions)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (real_hello("One.Test", "h2", "http/1.1"), ClientHello("one.test", ("h2", "http/1.1"))),
        (real_hello("one.test", version=ssl.TLSVersion.TLSv1_2), ClientHello("one.test", ())),
        (real_hello(None), ClientHello(None, ())),
        (real_hello("127.0.0.1", "http/1.1"), ClientHello(None, ("http/1.1",))),
        (hello(None), ClientHello(None, ())),
        (hello(sni(b"a_b.xn--c.test")), ClientHello("a_b.xn--c.test", ())),
        (hello(extension(16, vector(2, vector(1, b"\xff") + vector(1, b"x")))), ClientHello(None, ("\xff", "x"))),
        (hello(extension(0x0A0A, b"") + sni(b"x")), ClientHello("x", ())),
    ],
)
def test_a_hello_is_read_at_its_last_byte_and_not_before(data: bytes, expected: ClientHello) -> None:
    assert read_client_hello(data) == expected
    for end in range(len(data)):
        assert read_client_hello(data[:end]) is None


@pytest.mark.parametrize("size", [1, 20, 100])
def test_a_hello_in_several_records_is_read(size: int) -> None:
    message = handshake(body(sni(b"one.test")))
    pieces = [message[place : place + size] for place in range(0, len(message), size)]
    data = b"".join(record(piece) for piece in pieces)
    if len(pieces) > MAX_RECORDS:
        with pytest.raises(Failure, match="more than 16 records"):
            read_client_hello(data)
    else:
        assert read_client_hello(data) == ClientHello("one.test", ())
        for end in range(len(data)):
            assert read_client_hello(data[:end]) is None


@pytest.mark.parametrize("first", [b"G", b"\x05\x01\x00", b"PROXY ", b"\x80\x2e\x01", b"\x15\x03\x01", b"\0"])
def test_other_protocols_are_known_by_their_first_byte(first: bytes) -> None:
    with pytest.raises(Failure, match="does not speak TLS on a port that does"):
        read_client_hello(first)


BAD = {
    "version of the record": b"\x16\x02\x00",
    "empty record": record(b""),
    "record too long": b"\x16\x03\x01\x40\x01",
    "another message": record(handshake(body(), kind=2)),
    "claims too much": record(b"\x01\x00\x80\x00"),
    "claims far too much": record(b"\x01\xff\xff\xff"),
    "more behind it": record(handshake(body()) + b"\x01"),
    "an alert inside": record(handshake(body())[:10]) + record(b"\x01\x00", kind=21),
    "session id too long": record(handshake(body(session=bytes(33)))),
    "no cipher suites": record(handshake(body(suites=b""))),
    "half a cipher suite": record(handshake(body(suites=b"\x13"))),
    "no compression": record(handshake(body(compression=b""))),
    "cut off in the random": record(handshake(b"\x03\x03" + bytes(31))),
    "cut off in the suites": record(handshake(b"\x03\x03" + bytes(32) + b"\0" + b"\xff\xff\x13\x01")),
    "extensions longer than the message": record(handshake(body(None, rest=b"\x00\x05\x00"))),
    "bytes after the extensions": record(handshake(body(rest=b"\0"))),
    "cut off in an extension": hello(b"\x00\x00\x00\x05\x00"),
    "half an extension header": hello(b"\x00\x00\x00"),
    "an extension twice": hello(sni(b"one.test") + sni(b"two.test")),
    "an empty server name": hello(sni(b"")),
    "no server name in the list": hello(extension(0, vector(2, b""))),
    "an empty extension for the name": hello(extension(0, b"")),
    "a name of another kind": hello(sni(b"one.test", kind=1)),
    "two names": hello(extension(0, vector(2, (b"\0" + vector(2, b"one.test")) * 2))),
    "bytes after the list of names": hello(extension(0, vector(2, b"\0" + vector(2, b"x")) + b"\0")),
    "a NUL in the name": hello(sni(b"one.test\0.two.test")),
    "a line feed in the name": hello(sni(b"one.test\n")),
    "a space in the name": hello(sni(b"one test")),
    "a dot before the name": hello(sni(b".test")),
    "a dot after the name": hello(sni(b"one.test.")),
    "a slash in the name": hello(sni(b"one/test")),
    "beyond ASCII": hello(sni("b\u00fccher.test".encode())),
    "a very long name": hello(sni(b"a" * 256)),
    "no protocols": hello(extension(16, vector(2, b""))),
    "an empty protocol": hello(extension(16, vector(2, b"\0"))),
    "a protocol cut off": hello(extension(16, vector(2, b"\x05h2"))),
    "bytes after the protocols": hello(extension(16, vector(2, b"\x02h2") + b"x")),
}


def verdict_of_growing(data: bytes) -> str:
    """What is said of bytes that arrive one by one, as soon as anything is said."""
    for end in range(len(data) + 1):
        try:
            if read_client_hello(data[:end]) is not None:
                return "read"
        except Failure:
            return "refused"
    return "more"


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_a_malformed_hello_is_refused_however_it_arrives(data: bytes) -> None:
    with pytest.raises(Failure, match="does not speak TLS as it should: ") as caught:
        read_client_hello(data)
    assert caught.value.kind == "tls_protocol_error"
    assert caught.value.side == "downstream"
    assert verdict_of_growing(data) == "refused"


def test_an_endless_hello_is_refused() -> None:
    data = record(b"\x01\x00\x7f\xfc" + bytes(16380)) + record(bytes(16384))
    assert len(data) > MAX_BYTES
    with pytest.raises(Failure, match="longer than 32768 bytes"):
        read_client_hello(data[:MAX_BYTES])


@given(st.binary(max_size=200))
def test_a2_any_bytes_are_a_hello_or_a_failure(data: bytes) -> None:
    for start in (b"", b"\x16\x03\x01", real[:50], real[:-20]):
        try:
            result = read_client_hello(start + data)
        except Failure:
            continue
        assert result is None or isinstance(result, ClientHello)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a2_a_flipped_byte_is_a_hello_or_a_failure(place: int, value: int) -> None:
    data = bytearray(real)
    data[place % len(data)] = value
    verdicts = []
    for end in (len(data) // 2, len(data)):
        try:
            verdicts.append(read_client_hello(bytes(data[:end])) is not None)
        except Failure:
            verdicts.append(True)
    assert all(later or not earlier for earlier, later in pairwise(verdicts))


real = real_hello("one.test", "h2", "http/1.1")

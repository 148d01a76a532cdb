"""Captures with the secrets of the TLS in them, as tshark reads them."""

from __future__ import annotations

import io
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.journal_records import record
from tests.support.tshark import complaints, fields

from interpose.core.record import Kind, Part, Passage, Record
from interpose.storage.exports import packet_file, pcapng
from interpose.storage.exports.capture import capture
from interpose.storage.exports.secrets import Secrets, secrets_in, sessions_in, with_secrets

ASKED = b"GET /secret HTTP/1.1\r\nHost: shop.example\r\n\r\n"
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden"
LINE = b"CLIENT_RANDOM " + b"0f" * 32 + b" " + b"1e" * 48


def spoken(directory: Path, version: ssl.TLSVersion) -> tuple[list[Passage], bytes]:
    """What a client and a server say in TLS, as a relay between them hears it, and the client's secrets."""
    authority = CertificateAuthority(directory)
    key_log = directory / f"{version.name}.keys"
    towards_server = authority_trusted(authority)
    towards_server.maximum_version = version
    towards_server.keylog_filename = str(key_log)
    towards_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    towards_client.load_cert_chain(*authority.issue("shop.example"))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = towards_server.wrap_bio(to_client, to_server, server_hostname="shop.example")
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = towards_client.wrap_bio(inward, outward, server_side=True)
    passed: list[Passage] = []

    def relay() -> None:
        for inbound, source, sink in ((True, to_server, inward), (False, outward, to_client)):
            if data := source.read():
                passed.append(Passage(len(passed) / 1000, inbound, data, len(data)))
                sink.write(data)

    def done(step: Callable[[], object]) -> None:
        """Until neither side has to hear more for it."""
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                relay()
            else:
                return relay()

    def both_shake_hands() -> None:
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                relay()
        client.do_handshake()
        server.do_handshake()

    done(both_shake_hands)
    done(lambda: client.write(ASKED))
    assert server.read() == ASKED
    done(lambda: server.write(ANSWERED))
    assert client.read() == ANSWERED
    return passed, key_log.read_bytes()


def authority_trusted(authority: CertificateAuthority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


def relayed(passed: list[Passage]) -> Record:
    return record(
        0, kind=Kind.TCP, method="", scheme="", status=0, reason="", target="shop.example:8443",
        local=("127.0.0.1", 8443), request=Part(size=1), response=Part(size=1), attempts=[],
        messages=passed, messages_total=len(passed),
    )  # fmt: skip


def opened(file: Path, made: bytes, secrets: Secrets) -> list[tuple[str, ...]]:
    """What tshark reads in a capture to which its secrets were added."""
    sessions = sessions_in(io.BytesIO(made))
    assert len(sessions) == 1
    file.write_bytes(b"".join(with_secrets(io.BytesIO(made), b"".join(secrets[random] for random in sessions))))
    assert complaints(file) == []
    return fields(file, "http && tls", "http.request.uri", "http.response.code", "frame.time_epoch")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_relayed_tls_is_read_with_the_secrets_of_its_client(tmp_path: Path, version: ssl.TLSVersion) -> None:
    passed, key_log = spoken(tmp_path, version)
    made = b"".join(capture([relayed(passed)]))
    found = opened(tmp_path / "opened.pcapng", made, secrets_in(io.BytesIO(key_log)))
    assert [row[:2] for row in found] == [("/secret", ""), ("", "200")]


@pytest.mark.parametrize(("order", "magic", "decimals"), [("<", 0xA1B2C3D4, 6), (">", 0xA1B2C3D4, 6),
                                                          ("<", 0xA1B23C4D, 9), (">", 0xA1B23C4D, 9)])  # fmt: skip
def test_what_tcpdump_wrote_is_taken_too(tmp_path: Path, order: str, magic: int, decimals: int) -> None:
    passed, key_log = spoken(tmp_path, ssl.TLSVersion.TLSv1_3)
    made = b"".join(capture([relayed(passed)]))
    old = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 262_144, pcapng.LINKTYPE_RAW)
    for block in packet_file.blocks(io.BytesIO(made)):
        if block.has_packet:
            high, low, kept, whole = struct.unpack("<IIII", block.octets[12:28])
            seconds, fraction = divmod(high << 32 | low, 10**6)
            old += struct.pack(order + "IIII", seconds, fraction * 10 ** (decimals - 6), kept, whole)
            old += block.octets[28 : 28 + kept]
    found = opened(tmp_path / "opened.pcapng", old, secrets_in(io.BytesIO(key_log)))
    assert [row[:2] for row in found] == [("/secret", ""), ("", "200")]
    direct = tmp_path / "direct.pcapng"
    direct.write_bytes(made)
    assert {row[2] for row in found} <= {row[0] for row in fields(direct, "tcp", "frame.time_epoch")}


def test_a_section_in_the_other_order_of_octets_gets_them_in_its_own(tmp_path: Path) -> None:
    section = struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack(">IIHHII", 1, 20, pcapng.LINKTYPE_RAW, 0, 0, 20)
    file = tmp_path / "big-endian.pcapng"
    file.write_bytes(b"".join(with_secrets(io.BytesIO(section + interface), LINE + b"\n")))
    assert file.read_bytes()[28:40] == struct.pack(">III", 10, 12 + 8 + 176, 0x544C534B)
    assert fields(file, "frame", "frame.number") == []


def test_what_is_no_line_of_secrets_is_left_out() -> None:
    other = LINE.replace(b"0f", b"0E")
    data = (
        b"# made by a browser\r\n" + LINE + b"\r\n" + LINE + b"\nPASSWORD: hunter2\n" + other + b"\n" + LINE + b"zz\n"
    )
    assert secrets_in(io.BytesIO(data)) == {b"\x0f" * 32: LINE + b"\n", b"\x0e" * 32: other + b"\n"}
    with pytest.raises(ValueError, match="no secrets"):
        secrets_in(io.BytesIO(b"PASSWORD: hunter2\n"))


def test_a_capture_that_is_still_written_is_read_as_far_as_it_goes() -> None:
    whole = b"".join(capture([relayed([Passage(0.0, True, b"hello", 5)])]))
    known = [block.octets for block in packet_file.blocks(io.BytesIO(whole))]
    assert b"".join(known) == whole
    for cut in range(8, len(whole)):
        found = [block.octets for block in packet_file.blocks(io.BytesIO(whole[:cut]))]
        assert found == known[: len(found)]
        assert len(b"".join(found)) <= cut < len(b"".join(known[: len(found) + 1]))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no capture"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0????", "in which order"),
        (pcapng.section("", "")[:-4] + b"\x20\0\0\0" + b"\x06\0\0\0\x07\0\0\0", "a block says that it has 7 octets"),
        (b"\xd4\xc3\xb2\xa1\x02\0", "first line"),
        (b"\xd4\xc3\xb2\xa1" + bytes(20) + bytes(8) + b"\xff" * 8, "a packet says that it has 4294967295 octets"),
    ],
)
def test_what_is_no_capture_is_refused_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        list(packet_file.blocks(io.BytesIO(data)))

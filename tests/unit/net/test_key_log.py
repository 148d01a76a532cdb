"""Files with secrets of TLS: whose they are, what may be one, and who writes there."""

from __future__ import annotations

import logging
import os
import ssl
import stat
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority

from interpose.net.key_log import KeyLog, check_key_log
from interpose.net.tls import client_context


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A handshake in memory."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(inward, outward, server_side=True),
        client.wrap_bio(outward, inward, server_hostname="shop.example"),
    ]
    for _ in range(3):
        for side in reversed(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert sides[0].version() == sides[1].version() == "TLSv1.3"


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = CertificateAuthority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("shop.example"))
    return client_context(authority.file), server


def test_a37_no_secret_of_tls_is_written_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    file = tmp_path / "inherited.keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    for context in (client_context(), client_context(verify=False), *contexts):
        assert context.keylog_filename is None
    shake_hands(*contexts)
    assert not file.exists()


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_a37_secrets_of_tls_are_their_owners_alone(tmp_path: Path, before: int | None) -> None:
    file = tmp_path / "tls.keys"
    if before is not None:
        file.write_text("# there before\n")
        file.chmod(before)
    umask = os.umask(0)
    try:
        KeyLog(str(file))
    finally:
        os.umask(umask)
    assert mode(file) == 0o600
    assert file.read_text() == ("" if before is None else "# there before\n")


def test_each_side_that_follows_writes_into_the_file_that_was_opened(
    tmp_path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    file, moved = tmp_path / "tls.keys", tmp_path / "moved.keys"
    key_log = KeyLog(str(file))
    file.rename(moved)
    file.symlink_to(tmp_path / "of-somebody-else")
    for count, context in enumerate(contexts, 1):
        key_log.follow(context)
        moved.write_bytes(b"")
        shake_hands(*contexts)
        assert moved.read_bytes().count(b"CLIENT_TRAFFIC_SECRET_0 ") == count
    assert not (tmp_path / "of-somebody-else").exists()


def test_what_may_not_be_a_key_log_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, link, pipe = tmp_path / "kept", tmp_path / "link", tmp_path / "pipe"
    kept.touch()
    link.symlink_to(kept)
    os.mkfifo(pipe)
    for use in (check_key_log, KeyLog):
        for file in (link, pipe, tmp_path):
            with pytest.raises(ValueError, match="an ordinary file only"):
                use(str(file))
        with pytest.raises(ValueError, match="takes no files"):
            use(str(tmp_path / "nowhere" / "tls.keys"))
        with pytest.raises(ValueError, match="not a directory"):
            use(str(kept / "tls.keys"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(ValueError, match="belongs to another user"):
            KeyLog(str(kept))
    check_key_log(str(tmp_path / "later.keys"))
    assert not (tmp_path / "later.keys").exists(), "to check is not to make"


def test_traffic_goes_on_where_no_more_contexts_can_follow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    key_log = KeyLog(str(tmp_path / "tls.keys"))
    key_log._path = str(tmp_path / "nowhere" / "tls.keys")
    with caplog.at_level(logging.WARNING, "interpose"):
        key_log.follow(contexts[0])
    assert "secrets of some TLS sessions are not written" in caplog.text
    shake_hands(*contexts)

"""TLS contexts for listeners and for connections to origins, and the upgrade of a transport to TLS."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Generator
from typing import Any, NamedTuple

ALPN = ["http/1.1"]
# For TLS 1.2; the suites of TLS 1.3 are all good and OpenSSL's own.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0


class ClientContexts:
    """Contexts for connections to origins, one for each pair of settings: loading authorities takes time and memory."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str | None, bool, bool], ssl.SSLContext] = {}

    def __call__(self, ca_file: str | None, verify: bool, *, http: bool = True) -> ssl.SSLContext:
        """See `client_context`."""
        key = (ca_file, verify, http)
        if key not in self._contexts:
            self._contexts[key] = client_context(ca_file, verify=verify, http=http)
        return self._contexts[key]


def client_context(ca_file: str | None = None, *, verify: bool = True, http: bool = True) -> ssl.SSLContext:
    """The context for connections to origins: TLS 1.2 or later, certificate and name verified.

    `ca_file` replaces the system's authorities; `http` announces which protocol is spoken inside. `ValueError` with one
    sentence when the file cannot be used.
    """
    # Not ssl.create_default_context: where SSLKEYLOGFILE is set, it writes secrets to a file that others may read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):  # as that does from then on
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags.VERIFY_X509_STRICT
    try:
        if ca_file is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"The authorities in {ca_file} cannot be used: {_words(error)}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if http:
        context.set_alpn_protocols(ALPN)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class ClientTrust(NamedTuple):
    """Which certificates of clients a listener believes, and whether they must show one. Both files hold PEM."""

    ca_file: str
    crl_file: str | None = None
    is_required: bool = True


def server_context(certificate: str, key: str, clients: ClientTrust | None = None) -> ssl.SSLContext:
    """The context of a listener: TLS 1.2 or later, forward secrecy, no renegotiation; `clients` have certificates too.

    Tickets are sealed with a key that each context makes for itself: they resume sessions of this certificate in this
    process, and no others. `ValueError` with one sentence when the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    context.num_tickets = 1  # each connection brings a new one, so that two would be one too many
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    for path, what in ((certificate, "certificate"), (key, "key")):
        try:
            open(path, "rb").close()
        except OSError as error:
            raise ValueError(f"The {what} {path} cannot be read: {_words(error)}.") from error
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=b"")
    except ssl.SSLError as error:
        raise ValueError(_why_unusable(certificate, key, error)) from error
    if clients is not None:
        _ask_clients(context, clients)
    return context


def _ask_clients(context: ssl.SSLContext, clients: ClientTrust) -> None:
    """Have clients show a certificate. The handshake is where that is decided: who fails it is never served."""
    context.verify_mode = ssl.CERT_REQUIRED if clients.is_required else ssl.CERT_OPTIONAL
    _load_authorities(context, clients.ca_file)
    if clients.crl_file is not None:
        _load_revoked(context, clients.crl_file)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def check_client_files(ca_file: str | None, crl_file: str | None) -> None:
    """ValueError, a sentence, when a file of a `ClientTrust` cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ca_file is not None:
        _load_authorities(context, ca_file)
    if crl_file is not None:
        _load_revoked(context, crl_file)


def _load_authorities(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"The authorities of clients in {ca_file} cannot be used: {_words(error)}.") from error


def _load_revoked(context: ssl.SSLContext, crl_file: str) -> None:
    try:
        if b"-----BEGIN X509 CRL-----" not in _content(crl_file):  # OpenSSL takes any PEM without a word
            raise ValueError(f"The file {crl_file} holds no list of revoked certificates in PEM.")
        context.load_verify_locations(crl_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"The revoked certificates in {crl_file} cannot be used: {_words(error)}.") from error


def _why_unusable(certificate: str, key: str, error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return f"The key {key} does not belong to the certificate {certificate}."
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK":
            return f"The certificate {certificate} is too weak ({_words(error)}); clients would refuse it."
        case _:
            pass
    if b"-----BEGIN CERTIFICATE-----" not in _content(certificate):
        return f"The certificate {certificate} holds no certificate in PEM."
    if b"ENCRYPTED" in _content(key):
        return f"The key {key} has a passphrase; give one without."
    if b"PRIVATE KEY-----" not in _content(key):
        return f"The key {key} holds no private key in PEM."
    return f"The certificate {certificate} and the key {key} cannot be used: {_words(error)}."


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(65536)


class upgrade:
    """(awaited) The transport that continues `transport` in TLS, as the client of `server_name`, else as the server.

    `received` are bytes of the handshake that were read already. The event loop's own `start_tls` takes none, so they
    are fed to the TLS protocol that it installs: after its `connection_made` and before the loop polls for more, both
    of which `start_tls` schedules before it first waits, and what is scheduled then runs in the same round. For that
    its coroutine is stepped by hand up to there; a task of its own would do it too, and cost more. Raises OSError.

    How long it may take is the caller's to say; `handshake_timeout_s` is there because the loop's default is short.
    """

    __slots__ = ("_arguments", "_options", "_received")

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        context: ssl.SSLContext,
        received: bytes,
        *,
        server_name: str | None,
        handshake_timeout_s: float = 3600.0,
    ) -> None:
        self._arguments = (transport, protocol, context)
        self._received = received
        self._options = {
            "server_side": server_name is None,
            "server_hostname": server_name,
            "ssl_handshake_timeout": handshake_timeout_s,
            "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S,
        }

    def __await__(self) -> Generator[Any, Any, asyncio.Transport]:
        loop = asyncio.get_running_loop()
        transport = self._arguments[0]
        before = transport.get_protocol()
        starting: Any = loop.start_tls(*self._arguments, **self._options)  # type: ignore[arg-type]
        upgraded: asyncio.Transport | None
        try:
            waiting = starting.send(None)
            if self._received:
                loop.call_soon(_feed, transport, before, self._received)
            while True:
                try:
                    answer = yield waiting
                except BaseException as error:
                    waiting = starting.throw(error)
                else:
                    waiting = starting.send(answer)
        except StopIteration as end:
            upgraded = end.value
        # uvloop reports a connection that was closed in the middle of the handshake as a success.
        if upgraded is None or upgraded.is_closing():
            raise ConnectionResetError("closed during the TLS handshake")
        return upgraded


def ended_in_order(transport: asyncio.Transport) -> bool:
    """Whether the peer said that it sends no more: in TLS by close_notify, without which something may be missing.

    uvloop tells the two apart by itself, stock asyncio reports both as an end.
    """
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False


def _feed(transport: asyncio.Transport, before: asyncio.BaseProtocol, received: bytes) -> None:
    tls_protocol: Any = transport.get_protocol()
    if transport.is_closing() or tls_protocol is before:
        return
    view = memoryview(received)
    while view:
        room = memoryview(tls_protocol.get_buffer(len(view)))
        size = min(len(room), len(view))
        room[:size] = view[:size]
        tls_protocol.buffer_updated(size)
        view = view[size:]


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "a part is damaged").lower().replace("_", " ")
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)

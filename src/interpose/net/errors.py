"""The one place where errors of the operating system and of TLS become a `Failure`."""

from __future__ import annotations

import errno
import os
import ssl

from interpose.core.failure import Failure, Side

# errno -> (kind of RFC 9209, whose side, what a person reads after the server's name)
_ERRORS: dict[int, tuple[str, Side, str]] = {
    errno.ECONNREFUSED: ("connection_refused", Side.UPSTREAM, "refused the connection; is it running?"),
    errno.ECONNRESET: ("connection_terminated", Side.UPSTREAM, "reset the connection."),
    errno.ECONNABORTED: ("connection_terminated", Side.UPSTREAM, "broke the connection off."),
    errno.EPIPE: ("connection_terminated", Side.UPSTREAM, "closed the connection while it was being written to."),
    errno.ETIMEDOUT: ("connection_timeout", Side.UPSTREAM, "did not answer."),
    errno.ENETUNREACH: ("destination_ip_unroutable", Side.UPSTREAM, "is in a network that this machine cannot reach."),
    errno.EHOSTUNREACH: ("destination_ip_unroutable", Side.UPSTREAM, "cannot be reached: no route to it."),
    errno.ENETDOWN: ("destination_ip_unroutable", Side.UPSTREAM, "cannot be reached: the network is down."),
    errno.EHOSTDOWN: ("destination_ip_unroutable", Side.UPSTREAM, "cannot be reached: it is down."),
    errno.ENOENT: ("destination_unavailable", Side.UPSTREAM, "does not exist."),
    errno.EACCES: ("destination_unavailable", Side.UPSTREAM, "may not be connected to: permission denied."),
    errno.EPERM: ("destination_unavailable", Side.UPSTREAM, "may not be connected to: a local rule forbids it."),
    errno.EMFILE: ("connection_limit_reached", Side.INTERNAL, "was not connected to: no descriptors are left."),
    errno.ENFILE: ("connection_limit_reached", Side.INTERNAL, "was not connected to: no descriptors are left."),
    errno.EADDRNOTAVAIL: ("connection_limit_reached", Side.INTERNAL, "was not connected to: no local port is left."),
    errno.ENOBUFS: ("connection_limit_reached", Side.INTERNAL, "was not connected to: the kernel is out of memory."),
    errno.ENOMEM: ("connection_limit_reached", Side.INTERNAL, "was not connected to: the kernel is out of memory."),
    errno.EAGAIN: ("connection_limit_reached", Side.UPSTREAM, "has no room in its queue of new connections."),
}


def failure_of(error: BaseException, server: str, *, side: Side = Side.UPSTREAM, in_handshake: bool = False) -> Failure:
    """What `error` means; `server` is how the sentence calls the other side, which was on `side` of us."""
    match error:
        case Failure():
            return error
        case ssl.SSLCertVerificationError():
            why = _verification(error)
            return Failure("tls_certificate_error", side, f"The certificate of {server} cannot be trusted: {why}.")
        case ssl.SSLError() if "ALERT" in (error.reason or ""):
            alert = (error.reason or "").lower().replace("_", " ")
            return Failure("tls_alert_received", side, f"{server} ended the TLS handshake: {alert}.")
        case ssl.SSLError():
            reason = (error.reason or "unknown error").lower().replace("_", " ")
            return Failure("tls_protocol_error", side, f"TLS with {server} failed: {reason}.")
        case TimeoutError(errno=None) if in_handshake:
            return Failure("connection_timeout", side, f"{server} did not complete the TLS handshake in time.")
        case ConnectionError() if in_handshake:
            return Failure("connection_terminated", side, f"{server} closed the connection during the TLS handshake.")
        case TimeoutError(errno=None):
            return Failure("connection_timeout", side, f"{server} did not accept a connection in time.")
        case OSError(errno=number) if number in _ERRORS:
            kind, whose, words = _ERRORS[number]
            return Failure(kind, side if whose is Side.UPSTREAM else whose, f"{server} {words}")
        case OSError(errno=number) if number:
            words = os.strerror(number).lower()
            return Failure("connection_terminated", side, f"The connection to {server} failed: {words}.")
        case _:
            return Failure("connection_terminated", side, f"The connection to {server} failed: {error}.")


def _verification(error: ssl.SSLCertVerificationError) -> str:
    words = (error.verify_message or error.reason or "unknown reason").strip(" .")
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]  # "IP address mismatch" stays as it is

"""Why a client command failed, in one sentence: what happened, what it means, what to try."""

from __future__ import annotations

import os

from interpose.core.failure import Failure

# Kind of failure -> what follows the sentence that says what happened: what it means and what to try.
_ADVICE = {
    "connection_refused": "nothing listens on that port there; start the server first, or check address and port",
    "dns_error": "check how it is spelled, or give an IP address",
    "dns_timeout": "check this machine's network and name servers, or give an IP address",
    "connection_timeout": "the machine may be off, or a firewall drops what is sent to it; "
    "check the address, or wait longer with --timeout",
    "destination_ip_unroutable": "check the address, and this machine's network",
    "destination_unavailable": "check that the server runs and that you may use it",
    "connection_terminated": "the server went away, or did not like what it was sent; look at its log",
    "connection_read_timeout": "it may wait for something that did not come, or be stuck; "
    "wait longer with --timeout, or look at its log",
    "connection_write_timeout": "it may be stuck; look at its log",
    "connection_limit_reached": "close what is not needed, or raise the limit (ulimit -n)",
    "tls_certificate_error": "name the authority that signed it with --ca-file, "
    "or accept any certificate with --insecure and let everybody on the way read along",
    "tls_protocol_error": "the port may not speak TLS at all; try without it",
    "tls_alert_received": "it wants another version of TLS, or a certificate from you; look at its log",
    "http_response_incomplete": "what came is not all there is; ask again, or look at the server's log",
    "http_response_timeout": "it is slow or stuck; wait longer with --timeout, or look at its log",
    "http_protocol_error": "the port may speak something else than HTTP; --raw shows what it sent",
    "http_response_transfer_coding": "the server or something before it is broken; --raw shows what it sent",
    "http_response_header_section_size": "--raw shows what it sent",
}
_LOGIN = "write user and password before its host: --proxy {scheme}://user:password@host:port"


def explained(failure: Failure, proxy_scheme: str = "http") -> str:
    """The sentence for a person."""
    what = failure.detail or failure.consequence.says
    for superfluous in ("tcp://", "tls://", "; is it running?", "; is the server running?"):
        what = what.replace(superfluous, "")
    what = what.rstrip(".")
    advice = _ADVICE.get(failure.kind, "")
    if failure.kind == "http_request_denied" and failure.status == 407:
        advice = _LOGIN.format(scheme=proxy_scheme)
    elif failure.kind == "connection_terminated" and "TLS handshake" in what:
        advice = _ADVICE["tls_protocol_error"]
    elif failure.kind == "connection_refused" and "unix:" in what:
        advice = "nothing listens on that socket; start the server first, or check the path"
    elif failure.kind == "http_protocol_error" and "redirects" in what:
        advice = ""
    elif failure.kind == "http_protocol_error" and "SOCKS" in what:
        advice = "the port may speak something else; check the address of the proxy, and its scheme"
    elif "broadcast" in what or "multicast" in what:
        advice = ""
    elif "ICMP" in what:
        advice = "start the server first, check the port, or keep trying with --retry"
    elif "datagram" in what:
        advice = "in UDP nobody says why; start the server first, check the port, or send it again with --retry"
    return f"{what}: {advice}." if advice else f"{what}."


def cannot_write(where: str, error: OSError) -> str:
    """The sentence for output that cannot be written."""
    return f"{where} cannot be written: {os.strerror(error.errno or 0).lower()}."

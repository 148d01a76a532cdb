"""The one runtime error, and the one table that says what follows from it."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Side(enum.StrEnum):
    """Whose side of the proxy failed, always seen from here."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


class Consequence(NamedTuple):
    """What one kind of failure means for the answer, the log and a second try."""

    status: int
    level: str
    retry_is_safe: bool
    says: str


# Kinds are the proxy error types of RFC 9209, 2.3; the last column is the sentence a person reads.
# `retry_is_safe` means: by its nature nothing of the request can have reached the origin's application.
CONSEQUENCES: dict[str, Consequence] = {
    "dns_timeout": Consequence(504, "warning", True, "The name of the server could not be looked up in time."),
    "dns_error": Consequence(502, "warning", True, "The name of the server could not be looked up."),
    "destination_not_found": Consequence(502, "info", False, "No server is configured for this request."),
    "destination_unavailable": Consequence(503, "warning", True, "The server is not available at the moment."),
    "destination_ip_prohibited": Consequence(403, "info", False, "This address may not be reached through the proxy."),
    "destination_ip_unroutable": Consequence(502, "warning", True, "There is no route to the server."),
    "connection_refused": Consequence(502, "warning", True, "The server refused the connection."),
    "connection_terminated": Consequence(502, "warning", False, "The server closed the connection before answering."),
    "connection_timeout": Consequence(504, "warning", True, "The server did not accept a connection in time."),
    "connection_read_timeout": Consequence(504, "warning", False, "The server stopped sending."),
    "connection_write_timeout": Consequence(504, "warning", False, "The server stopped reading what it was sent."),
    "connection_limit_reached": Consequence(503, "warning", True, "Too many connections are open."),
    "tls_protocol_error": Consequence(502, "warning", True, "The server does not speak TLS as it should."),
    "tls_certificate_error": Consequence(502, "warning", True, "The server's certificate cannot be trusted."),
    "tls_alert_received": Consequence(502, "warning", True, "The server ended the TLS handshake."),
    "http_request_error": Consequence(400, "info", False, "The request is not valid HTTP."),
    "http_request_denied": Consequence(403, "info", False, "The request was refused."),
    "http_response_incomplete": Consequence(502, "warning", False, "The server's answer ended too early."),
    "http_response_header_section_size": Consequence(502, "warning", False, "The server's answer has too many fields."),
    "http_response_body_size": Consequence(502, "warning", False, "The server's answer is too large."),
    "http_response_transfer_coding": Consequence(502, "warning", False, "The server's answer is coded wrongly."),
    "http_response_timeout": Consequence(504, "warning", False, "The server did not answer in time."),
    "http_upgrade_failed": Consequence(502, "warning", False, "The server did not switch protocols properly."),
    "http_protocol_error": Consequence(502, "warning", False, "The server's answer is not valid HTTP."),
    "proxy_internal_error": Consequence(500, "error", False, "Something went wrong inside the proxy."),
    "proxy_configuration_error": Consequence(500, "error", False, "The proxy is not set up for this request."),
    "proxy_loop_detected": Consequence(508, "warning", False, "The request has passed through this proxy before."),
}


class Failure(Exception):
    """Something on the wire went wrong, in words that the answer, the log and a retry can use.

    `kind` is a key of CONSEQUENCES. `status` overrides the table where one kind has several answers
    (a request error may be 400, 408, 413, 414, 417, 431, 501 or 505); with 0 there is no answer, the client's
    connection is broken off. `sent` tells whether bytes of the request had already been handed to an upstream
    connection. `detail` is one sentence for people: what, where, the limit, the fix. `public`: it was written for the
    client, who gets to read it even where such sentences are kept back.
    """

    __slots__ = ("detail", "kind", "public", "sent", "side", "status")

    def __init__(
        self,
        kind: str,
        side: Side,
        detail: str = "",
        *,
        status: int | None = None,
        sent: bool = False,
        public: bool = False,
    ) -> None:
        consequence = CONSEQUENCES[kind]
        super().__init__(kind, detail)
        self.kind = kind
        self.side = side
        self.detail = detail
        self.status = consequence.status if status is None else status
        self.sent = sent
        self.public = public

    @property
    def consequence(self) -> Consequence:
        """The row of the table for this kind."""
        return CONSEQUENCES[self.kind]

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def bad_request(detail: str, status: int = 400) -> Failure:
    """The failure for a request that cannot be read: the client's side, answered and then closed."""
    return Failure("http_request_error", Side.DOWNSTREAM, detail, status=status)


def bad_response(detail: str, kind: str = "http_protocol_error") -> Failure:
    """The failure for an answer that cannot be read: the origin's side, 502, connection never used again."""
    return Failure(kind, Side.UPSTREAM, detail, sent=True)

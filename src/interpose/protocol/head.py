"""Heads of HTTP/1 messages: start line and fields, from bytes to values (RFC 9112, 2-5), strict.

A head is a list of lines, and nearly every line was seen before: browsers and servers repeat themselves. So a `HeadParser`, one
for a worker, remembers lines by their exact bytes (bounded, short lines only), and a line that is remembered is already judged. Only
a new line meets the grammar. What a line means for the connection is decided in one pass over those few with such a meaning.

Departs from RFC 9112, 2.2: a bare LF does not end a line, since two readers that disagree on where a head ends are how requests
are smuggled. Departs from 5.2: line folding is refused, in answers too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from interpose.core.failure import Failure, bad_request, bad_response
from interpose.core.fields import FieldLine, Fields, Memory
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Target
from interpose.protocol import number
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE
from interpose.protocol.target import parse_authority, parse_target

MAX_METHOD_BYTES = 32


class HeadLimits(NamedTuple):
    """How large a head may be. `max_line_bytes` holds for each line, start line included."""

    max_line_bytes: int = 8192
    max_head_bytes: int = 32768
    max_fields: int = 100


# RFC 9112, 3: method SP request-target SP HTTP-version.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ \x00-\x1f\x7f]+) HTTP/([0-9])\.([0-9])")
# RFC 9112, 4; the SP after the code is missing in answers of several servers, the phrase may be empty.
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
# RFC 9112, 5: no white space before the colon; optional white space around the value.
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*)?)")
_TOKEN_START = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BARE_LF = re.compile(rb"(?<!\r)\n")

# RFC 9110, 7.6.1 names what Connection may list; these it may not, whoever asks (they would vanish, or ours would).
_NOT_CONNECTION_OPTIONS = frozenset(
    b"authorization cache-control content-encoding content-length content-type cookie expect forwarded host max-forwards "
    b"proxy-authorization range set-cookie transfer-encoding via x-forwarded-for x-forwarded-host x-forwarded-port "
    b"x-forwarded-proto x-real-ip".split(b" ")
)
_PASSING_UPGRADES = {b"websocket": "websocket"}

_SPECIAL_IN_REQUEST = frozenset(
    b"connection content-length expect host http2-settings keep-alive proxy-connection te transfer-encoding upgrade".split(
        b" "
    )
)
_SPECIAL_IN_RESPONSE = frozenset(
    b"connection content-length http2-settings keep-alive proxy-connection te transfer-encoding upgrade".split(b" ")
)

DEFAULT_LIMITS = HeadLimits()


class ConnectionOptions(NamedTuple):
    """What a Connection field says. `others` are further field names that end at this hop."""

    close: bool = False
    keep_alive: bool = False
    upgrade: bool = False
    others: frozenset[bytes] = frozenset()


class ReceivedRequest(NamedTuple):
    """A request whose body is still to come, how the body is framed, and whether the connection may go on after it."""

    request: Request
    framing: int
    keep_alive: bool


class ReceivedResponse(NamedTuple):
    """A response whose body is still to come, its framing, and whether the connection may be used again."""

    response: Response
    framing: int
    keep_alive: bool


class HeadParser:
    """Parses heads and remembers lines. One for a worker, or one for a listener when listeners must not share.

    `merge_slashes` makes `//a` and `/a` one path (gateways; the origins behind most of them do the same).
    """

    def __init__(self, limits: HeadLimits = DEFAULT_LIMITS, *, merge_slashes: bool = False) -> None:
        self.limits = limits
        self._lines = Memory()
        self._request_lines: dict[bytes, tuple[str, Target, int]] = {}
        self._authorities: dict[bytes, Authority] = {}
        self._options: dict[bytes, ConnectionOptions] = {}
        self.merge_slashes = merge_slashes

    def request(self, head: bytes, scheme: str) -> ReceivedRequest:
        """The request in `head` (without the empty line that ends it), as it came over `scheme`.

        Raises `Failure` with the status to answer. Hop-by-hop fields, Host and framing are taken off the fields.
        """
        lines = head.split(b"\r\n")
        if len(lines) > self.limits.max_fields + 1:
            raise bad_request(f"The request has more than {self.limits.max_fields} fields.", 431)
        method, target, minor = self._request_lines.get(lines[0]) or self._request_line(lines[0])
        known = self._lines
        kept: list[FieldLine] = []
        special: list[FieldLine] = []
        for raw in lines[1:]:
            line = known.get(raw)
            if line is None:
                line = self.field(raw)
            if line[0] in _SPECIAL_IN_REQUEST:
                special.append(line)
            else:
                kept.append(line)
        host: bytes | None = None
        length: int | None = None
        codings = 0
        options = _NO_OPTIONS
        upgrade = expect = te = b""
        for line in special:
            match line[0]:
                case b"host":
                    if host is not None:
                        raise bad_request("The request has more than one Host field.")
                    host = line[2]
                case b"connection":
                    options = self._connection(line[2], options)
                case b"content-length":
                    if length is not None:
                        raise bad_request("The request has more than one Content-Length.")
                    length = number.decimal(line[2])
                    if length is None:
                        raise bad_request("The Content-Length is not 1 to 18 digits.")
                case b"transfer-encoding":
                    codings += 1
                    if codings > 1 or line[2].lower() != b"chunked":
                        raise bad_request("The only Transfer-Encoding understood is chunked, once.")
                case b"upgrade":
                    upgrade = line[2].lower()
                case b"expect":
                    if expect or line[2].lower() != b"100-continue":
                        raise bad_request("The only expectation understood is 100-continue.", 417)
                    expect = line[2]
                case b"te":
                    te = line[2].lower()
                case _:
                    pass
        if codings:
            if length is not None:
                raise bad_request("The request has both Content-Length and Transfer-Encoding.")
            if minor == 0:
                raise bad_request("HTTP/1.0 has no Transfer-Encoding.")
        if options.others:
            kept = [line for line in kept if line[0] not in options.others]
        if host is None and minor:
            raise bad_request("The request has no Host field.")
        target = self._complete(target, host or b"", scheme)
        framing = CHUNKED if codings else (length or 0)
        request = Request(method, target, Fields.of(kept), version=minor)
        if special:
            if upgrade and options.upgrade and minor and not framing:
                request.upgrade = _PASSING_UPGRADES.get(upgrade)
            request.wants_trailers = te == b"trailers"
            request.expects_continue = bool(expect) and minor > 0 and framing != 0
        keep_alive = not options.close if minor else options.keep_alive and not options.close
        return ReceivedRequest(request, framing, keep_alive)

    def response(self, head: bytes, method: str) -> ReceivedResponse:
        """The response in `head`, an answer to a `method` request; interim answers (1xx) too. Raises `Failure` (502)."""
        lines = head.split(b"\r\n")
        match = _STATUS_LINE.fullmatch(lines[0])
        if match is None:
            raise bad_response("The answer does not begin with an HTTP/1 status line.")
        if len(lines) > self.limits.max_fields + 1:
            raise bad_response(
                f"The answer has more than {self.limits.max_fields} fields.", "http_response_header_section_size"
            )
        minor = 0 if match[1] == b"0" else 1
        status = _STATUS[match[2]]
        known = self._lines
        kept: list[FieldLine] = []
        special: list[FieldLine] = []
        for raw in lines[1:]:
            line = known.get(raw)
            if line is None:
                line = self._response_field(raw)
            if line[0] in _SPECIAL_IN_RESPONSE:
                special.append(line)
            else:
                kept.append(line)
        length: int | None = None
        codings = 0
        upgrade = b""
        options = _NO_OPTIONS
        for line in special:
            match line[0]:
                case b"content-length":
                    if length is not None:
                        raise bad_response("The answer has more than one Content-Length.")
                    length = number.decimal(line[2])
                    if length is None:
                        raise bad_response("The answer's Content-Length is not 1 to 18 digits.")
                case b"connection":
                    options = self._response_connection(line[2], options)
                case b"transfer-encoding":
                    codings += 1
                    if codings > 1 or line[2].lower() != b"chunked":
                        raise bad_response(
                            "The answer's Transfer-Encoding is not chunked, once.", "http_response_transfer_coding"
                        )
                case b"upgrade":
                    upgrade = line[2].lower()
                case _:
                    pass
        if codings and (length is not None or minor == 0):
            raise bad_response("The answer has Transfer-Encoding where it may not be.", "http_response_transfer_coding")
        if options.others:
            kept = [line for line in kept if line[0] not in options.others]
        response = Response(status, Fields.of(kept), reason=match[3] or b"")
        keep_alive = not options.close if minor else options.keep_alive and not options.close
        if status < 200 or status == 204 or status == 304 or method == "HEAD":
            response.declared_length = length if status == 304 or (method == "HEAD" and status >= 200) else None
            if status == 101:
                response.upgrade = _PASSING_UPGRADES.get(upgrade) if options.upgrade else None
            return ReceivedResponse(response, 0, keep_alive)
        if codings:
            return ReceivedResponse(response, CHUNKED, keep_alive)
        if length is not None:
            return ReceivedResponse(response, length, keep_alive)
        return ReceivedResponse(response, UNTIL_CLOSE, False)

    def field(self, raw: bytes) -> FieldLine:
        """The line `raw` (without CRLF), remembered; `Failure` 400 or 431 when it is not a field line."""
        line = self._lines.get(raw)
        if line is not None:
            return line
        if len(raw) > self.limits.max_line_bytes:
            raise bad_request(f"A field line is longer than {self.limits.max_line_bytes} bytes.", 431)
        match = _FIELD_LINE.fullmatch(raw)
        if match is None:
            raise bad_request(_what_is_wrong_with(raw))
        name = match[1]
        value = match[2].rstrip(b" \t")
        return self._lines.keep(raw, FieldLine(name.lower(), name, value, b"%b: %b\r\n" % (name, value)))

    def _response_field(self, raw: bytes) -> FieldLine:
        try:
            return self.field(raw)
        except Failure as failure:
            kind = "http_response_header_section_size" if failure.status == 431 else "http_protocol_error"
            raise bad_response(failure.detail.replace("request", "answer"), kind) from None

    def check_open_request(self, data: bytes | bytearray, searched: int = 0) -> None:
        """Judge the beginning of a request head that is not whole yet: `Failure` when no more bytes can make it one.

        The first `searched` octets were judged before.
        """
        if data[:2] == b"\r\n"[: len(data)]:
            return
        if not _TOKEN_START.match(data):
            raise bad_request("The request does not begin with a method.")
        self._check_open(data, searched, 414)

    def check_open_response(self, data: bytes | bytearray, searched: int = 0) -> None:
        """The same for an answer."""
        if not data.startswith(b"HTTP/1."[: len(data)]):
            raise bad_response("The answer does not begin with an HTTP/1 status line.")
        try:
            self._check_open(data, searched, 431)
        except Failure as failure:
            kind = "http_response_header_section_size" if failure.status == 431 else "http_protocol_error"
            raise bad_response(failure.detail.replace("request", "answer"), kind) from None

    def _check_open(self, data: bytes | bytearray, searched: int, first_line_status: int) -> None:
        limits = self.limits
        if _BARE_LF.search(data, max(0, searched - 1)):
            raise bad_request("A line of the request ends with a bare LF.")
        if len(data) > limits.max_line_bytes:
            first = data.find(b"\r\n", 0, limits.max_line_bytes + 2)
            if first < 0:
                raise bad_request(
                    f"The first line of the request is longer than {limits.max_line_bytes} bytes.", first_line_status
                )
            if len(data) - (data.rfind(b"\r\n") + 2) > limits.max_line_bytes:
                raise bad_request(f"A field line of the request is longer than {limits.max_line_bytes} bytes.", 431)
        if len(data) > limits.max_head_bytes:
            raise bad_request(f"The head of the request is larger than {limits.max_head_bytes} bytes.", 431)

    def _request_line(self, raw: bytes) -> tuple[str, Target, int]:
        if len(raw) > self.limits.max_line_bytes:
            raise bad_request(f"The request line is longer than {self.limits.max_line_bytes} bytes.", 414)
        match = _REQUEST_LINE.fullmatch(raw)
        if match is None:
            raise bad_request("The request line is not a method, a target and a version with one space between them.")
        if match[3] != b"1":
            raise bad_request("Only HTTP/1.0 and HTTP/1.1 are spoken here.", 505)
        if len(match[1]) > MAX_METHOD_BYTES:
            raise bad_request(f"The method is longer than {MAX_METHOD_BYTES} bytes.", 501)
        method = match[1].decode("ascii")
        parsed = method, parse_target(method, match[2], self.merge_slashes), 0 if match[4] == b"0" else 1
        if len(raw) <= Memory.MAX_LINE_BYTES:
            if len(self._request_lines) >= Memory.MAX_LINES:
                self._request_lines.clear()
            self._request_lines[raw] = parsed
        return parsed

    def _complete(self, target: Target, host: bytes, scheme: str) -> Target:
        """The target with scheme and authority (RFC 9110, 7.1; RFC 9112, 3.3); a Host that came along must be valid in any case."""
        authority = self._authorities.get(host)
        if authority is None:
            authority = parse_authority(host) if host else Authority("")
            if len(self._authorities) >= Memory.MAX_LINES:
                self._authorities.clear()
            self._authorities[host] = authority
        if target.authority.host:
            return target if target.scheme or target.form is Form.AUTHORITY else target._replace(scheme=scheme)
        return Target(target.form, scheme, authority, target.path, target.query)

    def _connection(self, value: bytes, before: ConnectionOptions) -> ConnectionOptions:
        options = self._options.get(value)
        if options is None:
            options = _connection_options(value)
            if options.others & _NOT_CONNECTION_OPTIONS:
                raise bad_request("Connection names a field that is not its to remove.")
            if len(value) <= 64 and len(self._options) < 256:
                self._options[value] = options
        return options if before is _NO_OPTIONS else _joined(before, options)

    def _response_connection(self, value: bytes, before: ConnectionOptions) -> ConnectionOptions:
        try:
            return self._connection(value, before)
        except Failure as failure:
            raise bad_response(failure.detail) from None


def _connection_options(value: bytes) -> ConnectionOptions:
    tokens = {token.strip(b" \t").lower() for token in value.split(b",")} - {b""}
    return ConnectionOptions(
        b"close" in tokens,
        b"keep-alive" in tokens,
        b"upgrade" in tokens,
        frozenset(tokens - {b"close", b"keep-alive", b"upgrade", b"te"}),
    )


def _joined(one: ConnectionOptions, two: ConnectionOptions) -> ConnectionOptions:
    return ConnectionOptions(
        one.close or two.close, one.keep_alive or two.keep_alive, one.upgrade or two.upgrade, one.others | two.others
    )


def _what_is_wrong_with(raw: bytes) -> str:
    name, colon, _ = raw.partition(b":")
    if raw[:1] in (b" ", b"\t"):
        return "A field line is folded, or begins with white space."
    if not colon:
        return "A field line has no colon."
    if name.rstrip(b" \t") != name:
        return "A field line has white space before its colon."
    if b"\n" in raw or b"\r" in raw:
        return "A line of the request ends with a bare LF or CR."
    return "A field line has characters that no field may have."


_NO_OPTIONS = ConnectionOptions()
_STATUS = {b"%d" % status: status for status in range(100, 600)}

"""Heads of HTTP/1 messages: start line and fields, from bytes to values (RFC 9112, 2-5), strict.

Clients and servers repeat themselves: nearly every field line was seen before, and often the whole field section. So a
`HeadParser` remembers lines and sections by their exact bytes (bounded, short ones only), and what is remembered is
already judged. Only new bytes meet the grammar.

Departs from RFC 9112, 2.2: a bare LF does not end a line, since two readers that disagree on where a head ends are
how requests are smuggled. Departs from 5.2: line folding is refused, in answers too.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from interpose.core.body import EMPTY
from interpose.core.failure import Failure, bad_request, bad_response
from interpose.core.fields import HOP_BY_HOP, FieldLine, Fields, Memory
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Target
from interpose.protocol import number
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE
from interpose.protocol.target import parse_authority, parse_target

MAX_METHOD_BYTES = 32

# Sections and start lines remembered by each parser, and how long they may be: a few MiB at most, usually far less.
MAX_REMEMBERED: Final = 1024
MAX_REMEMBERED_BYTES: Final = 2048


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
    b"authorization cache-control content-encoding content-length content-type cookie expect forwarded host "
    b"max-forwards proxy-authorization range set-cookie transfer-encoding via x-forwarded-for x-forwarded-host "
    b"x-forwarded-port x-forwarded-proto x-real-ip".split(b" ")
)
_PASSING_UPGRADES: Final = {b"websocket": "websocket"}

_SPECIAL_IN_REQUEST: Final = HOP_BY_HOP | {b"expect", b"host"}
_SPECIAL_IN_RESPONSE: Final = HOP_BY_HOP

DEFAULT_LIMITS = HeadLimits()


class ConnectionOptions(NamedTuple):
    """What a Connection field says. `others` are further field names that end at this hop."""

    close: bool = False
    keep_alive: bool = False
    upgrade: bool = False
    others: frozenset[bytes] = frozenset()


ReceivedRequest = tuple[Request, int, bool]
"""A request whose body is still to come, how the body is framed, and whether the connection may go on after it."""

ReceivedResponse = tuple[Response, int, bool]
"""A response whose body is still to come, its framing, and whether the connection may be used again."""


class Section(NamedTuple):
    """A field section, read: the end-to-end lines, and what the others say.

    `first_values` has the first value of each end-to-end field. `length` is None without Content-Length; `is_chunked`
    says that Transfer-Encoding is there, exactly `chunked`.
    """

    lines: list[FieldLine]
    first_values: dict[bytes, bytes]
    host: bytes | None
    length: int | None
    is_chunked: bool
    options: ConnectionOptions
    upgrade: bytes
    expect: bytes
    te: bytes


class HeadParser:
    """Parses heads and remembers lines and sections: one for a listener, and one for all that a worker has upstream.

    `merge_slashes` makes `//a` and `/a` one path (gateways; the origins behind most of them do the same). Without
    `underscores` a field name may have none, since some origins cannot tell `X_Real_IP` from `X-Real-IP`.
    """

    def __init__(
        self, limits: HeadLimits = DEFAULT_LIMITS, *, merge_slashes: bool = False, underscores: bool = True
    ) -> None:
        self.limits = limits
        self._merge_slashes = merge_slashes
        self._underscores = underscores
        self._lines = Memory()
        self._request_sections: dict[bytes, Section] = {}
        self._response_sections: dict[bytes, Section] = {}
        self._last_section = b"", Section([], {}, None, None, False, _NO_OPTIONS, b"", b"", b"")
        self._starts: dict[tuple[bytes, bytes | None, str], tuple[str, Target, int]] = {}
        self._status_lines: dict[bytes, tuple[int, int, bytes]] = {}
        self._options: dict[bytes, ConnectionOptions] = {}

    def request(self, head: bytes, scheme: str) -> ReceivedRequest:
        """The request in `head` (without the empty line that ends it), as it came over `scheme`.

        Raises `Failure` with the status to answer. Hop-by-hop fields, Host and framing are taken off the fields.
        """
        first, _, rest = head.partition(b"\r\n")
        raw, section = self._last_section
        if rest != raw:  # often it is the same client's again: comparing costs less than hashing
            if rest not in self._request_sections:
                self._request_line(first)
            section = self._request_sections.get(rest) or self._section(rest, _SPECIAL_IN_REQUEST)
            self._last_section = rest, section
        lines, first_values, host, length, is_chunked, options, upgrade, expect, te = section
        start = self._starts.get((first, host, scheme))
        if start is None:
            start = self._start(first, host, scheme)
        method, target, minor = start
        if minor:
            if host is None:
                raise bad_request("The request has no Host field.")
            keep_alive = not options.close
        else:
            if is_chunked:
                raise bad_request("HTTP/1.0 has no Transfer-Encoding.")
            keep_alive = options.keep_alive and not options.close
        framing = CHUNKED if is_chunked else (length or 0)
        if framing and method == "CONNECT":
            raise bad_request("A CONNECT request has no content.")
        request = Request(method, target, Fields.of(lines.copy()), EMPTY, minor, first_values)
        if upgrade and options.upgrade and minor and not framing:
            request.upgrade = _PASSING_UPGRADES.get(upgrade)
        if te:
            request.wants_trailers = te == b"trailers"
        if expect:
            request.expects_continue = minor > 0 and framing != 0
        return request, framing, keep_alive

    def response(self, head: bytes, method: str) -> ReceivedResponse:
        """The response in `head`, an answer to a `method` request; interim answers (1xx) too. `Failure` (502) else."""
        first, _, rest = head.partition(b"\r\n")
        status, minor, reason = self._status_lines.get(first) or self._status_line(first)
        section = self._response_sections.get(rest)
        if section is None:
            try:
                section = self._section(rest, _SPECIAL_IN_RESPONSE)
            except Failure as failure:
                raise _as_response(failure) from None
        lines, _, _, length, is_chunked, options, upgrade, _, _ = section
        if is_chunked and minor == 0:
            raise bad_response("HTTP/1.0 has no Transfer-Encoding.", "http_response_transfer_coding")
        response = Response(status, Fields.of(lines.copy()), reason=reason)
        keep_alive = not options.close if minor else options.keep_alive and not options.close
        if status < 200 or status == 204 or status == 304 or method == "HEAD":
            if status == 304 or (method == "HEAD" and status >= 200):
                response.declared_length = length
            elif status == 101 and options.upgrade and minor:
                response.upgrade = _PASSING_UPGRADES.get(upgrade)
            elif status == 204 and (is_chunked or length):
                keep_alive = False  # the content that it may not have could come yet (THREATS A7)
            return response, 0, keep_alive
        if is_chunked:
            return response, CHUNKED, keep_alive
        if length is not None:
            return response, length, keep_alive
        return response, UNTIL_CLOSE, False

    def _section(self, raw: bytes, special: frozenset[bytes]) -> Section:
        """The field section `raw`, without the CRLF after its last line. `Failure` 400, 417 or 431.

        It is remembered when none of its lines is new: a section that comes once would only take up room.
        """
        raw_lines = raw.split(b"\r\n") if raw else []
        if len(raw_lines) > self.limits.max_fields:
            raise bad_request(f"The request has more than {self.limits.max_fields} fields.", 431)
        known = self._lines
        known_before = len(known)
        kept: list[FieldLine] = []
        host: bytes | None = None
        length: int | None = None
        is_chunked = False
        options = _NO_OPTIONS
        upgrade = expect = te = b""
        for raw_line in raw_lines:
            line = known.get(raw_line) or self.field(raw_line)
            if line.key not in special:
                kept.append(line)
                continue
            match line.key:
                case b"host":
                    if host is not None:
                        raise bad_request("The request has more than one Host field.")
                    host = line.value
                case b"connection":
                    options = self._connection(line.value, options, special)
                case b"content-length":
                    if length is not None:
                        raise bad_request("The request has more than one Content-Length.")
                    length = number.decimal(line.value)
                    if length is None:
                        raise bad_request("The Content-Length is not 1 to 18 digits.")
                case b"transfer-encoding":
                    if is_chunked or line.value.lower() != b"chunked":
                        raise bad_request("The only Transfer-Encoding understood is chunked, once.")
                    is_chunked = True
                case b"upgrade":
                    upgrade = line.value.lower()
                case b"expect":
                    if expect or line.value.lower() != b"100-continue":
                        raise bad_request("The only expectation understood is 100-continue.", 417)
                    expect = line.value
                case b"te":
                    te = line.value.lower()
                case _:
                    pass
        if is_chunked and length is not None:
            raise bad_request("The request has both Content-Length and Transfer-Encoding.")
        if options.others:
            kept = [line for line in kept if line.key not in options.others]
        first_values = {line.key: line.value for line in reversed(kept)}
        section = Section(kept, first_values, host, length, is_chunked, options, upgrade, expect, te)
        if len(known) == known_before:
            is_request = special is _SPECIAL_IN_REQUEST
            _remember(self._request_sections if is_request else self._response_sections, raw, section)
        return section

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
        if b"_" in name and not self._underscores:
            raise bad_request(f"The field name {name.decode()} has an underscore, which is not accepted here.")
        value = match[2].rstrip(b" \t")
        return self._lines.keep(raw, FieldLine(name.lower(), name, value, b"%b: %b\r\n" % (name, value)))

    def check_open_request(self, data: bytes | bytearray, searched: int = 0) -> None:
        """Judge the beginning of a request head that is not whole yet: `Failure` when no more bytes can make it one.

        The first `searched` octets were judged before.
        """
        if data in (b"", b"\r", b"\r\n"):
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
            raise _as_response(failure) from None

    def _check_open(self, data: bytes | bytearray, searched: int, first_line_status: int) -> None:
        limits = self.limits
        if _BARE_LF.search(data, max(0, searched - 1)):
            raise bad_request("A line of the request ends with a bare LF.")
        if len(data) > limits.max_line_bytes:
            first = data.find(b"\r\n", 0, limits.max_line_bytes + 2)
            if first < 0:
                if data.find(b" ", 0, MAX_METHOD_BYTES + 1) < 0:
                    raise _too_long_a_method()
                raise bad_request(
                    f"The first line of the request is longer than {limits.max_line_bytes} bytes.", first_line_status
                )
            if len(data) - (data.rfind(b"\r\n") + 2) > limits.max_line_bytes:
                raise bad_request(f"A field line of the request is longer than {limits.max_line_bytes} bytes.", 431)
        if len(data) > limits.max_head_bytes:
            raise bad_request(f"The head of the request is larger than {limits.max_head_bytes} bytes.", 431)

    def _request_line(self, raw: bytes) -> tuple[str, bytes, int]:
        """Method, target as written, and minor version."""
        if len(raw) > self.limits.max_line_bytes:
            if raw.find(b" ", 0, MAX_METHOD_BYTES + 1) < 0:
                raise _too_long_a_method()
            raise bad_request(f"The request line is longer than {self.limits.max_line_bytes} bytes.", 414)
        match = _REQUEST_LINE.fullmatch(raw)
        if match is None:
            raise bad_request("The request line is not a method, a target and a version with one space between them.")
        if match[3] != b"1":
            raise bad_request("Only HTTP/1.0 and HTTP/1.1 are spoken here.", 505)
        if len(match[1]) > MAX_METHOD_BYTES:
            raise _too_long_a_method()
        return match[1].decode("ascii"), match[2], 0 if match[4] == b"0" else 1

    def _start(self, raw: bytes, host: bytes | None, scheme: str) -> tuple[str, Target, int]:
        """Method, whole target and minor version (RFC 9110, 7.1; RFC 9112, 3.3). A Host must be valid in any case."""
        method, written, minor = self._request_line(raw)
        target = parse_target(method, written, self._merge_slashes)
        authority = Authority("") if host is None else parse_authority(host)
        if not target.authority.host:
            target = target._replace(scheme=scheme, authority=authority)
        start = method, target, minor
        _remember(self._starts, (raw, host, scheme), start)
        return start

    def _status_line(self, raw: bytes) -> tuple[int, int, bytes]:
        """Status, minor version and reason phrase."""
        match = _STATUS_LINE.fullmatch(raw)
        if match is None:
            raise bad_response("The answer does not begin with an HTTP/1 status line.")
        if len(raw) > self.limits.max_line_bytes:
            raise bad_response(
                f"The first line of the answer is longer than {self.limits.max_line_bytes} bytes.",
                "http_response_header_section_size",
            )
        parsed = _STATUS[match[2]], 0 if match[1] == b"0" else 1, match[3] or b""
        _remember(self._status_lines, raw, parsed)
        return parsed

    def _connection(self, value: bytes, before: ConnectionOptions, special: frozenset[bytes]) -> ConnectionOptions:
        options = self._options.get(value)
        if options is None:
            options = _connection_options(value)
            if len(value) <= 64 and len(self._options) < 256:
                self._options[value] = options
        wrong = options.others & _NOT_CONNECTION_OPTIONS
        if wrong and (special is _SPECIAL_IN_REQUEST or wrong != _TRANSFER_ENCODING):
            raise bad_request("Connection names a field that is not its to remove.")
        return options if before is _NO_OPTIONS else _joined(before, options)


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    """Keep `value` under `key`, whose first bytes are short; a memory that is full forgets everything."""
    raw = key[0] if isinstance(key, tuple) else key
    if len(raw) <= MAX_REMEMBERED_BYTES:
        if len(memory) >= MAX_REMEMBERED:
            memory.clear()
        memory[key] = value


def _as_response(failure: Failure) -> Failure:
    """What was found in an answer by code that speaks of requests."""
    kind = "http_response_header_section_size" if failure.status == 431 else "http_protocol_error"
    if "Transfer-Encoding" in failure.detail:
        kind = "http_response_transfer_coding"
    return bad_response(failure.detail.replace("request", "answer"), kind)


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


def _too_long_a_method() -> Failure:
    return bad_request(f"The method is longer than {MAX_METHOD_BYTES} bytes.", 501)


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


_NO_OPTIONS: Final = ConnectionOptions()
_TRANSFER_ENCODING = frozenset((b"transfer-encoding",))  # content networks name it in answers; it ends here anyway
_STATUS = {b"%d" % status: status for status in range(100, 600)}

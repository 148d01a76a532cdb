"""A second opinion on bytes: a small, strict reader of HTTP/1.1 that shares no code with the product.

It judges what a scene saw on the wire: `read_requests` what an origin was sent, `read_responses` what a client was
answered. It works on complete byte strings, keeps no state and forgives nothing: whatever is not exactly one message
after the other raises `Off`. It knows no limits (lengths, counts) and no rules of forwarding; those are for the scene
to assert on what comes back.

    assert [r.target for r in read_requests(origin.received)] == ["/a", "/b"]
    [answer] = read_responses(client.received, ["GET"])
    assert answer.framing == "length" and answer.values("via") == ["1.1 interpose"]
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: ([\t \x21-\x7e\x80-\xff]*))?")
FIELD_NAME = re.compile(TOKEN)
FIELD_VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]+)(?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?)*"
)
AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(?::([0-9]*))?")
FRAMING_NAMES = {"content-length", "transfer-encoding", "host"}

Pairs = list[tuple[str, str]]


class Off(Exception):
    """The bytes are not what they should be.

    `before` are the whole requests that came earlier, `status` is what a server would answer.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status
        self.before: list[Request] = []


@dataclass
class Head:
    """What both kinds of message have; names, values and targets are latin-1 text, one character an octet."""

    version: str  # "1.0" or "1.1", higher minor versions are taken for 1.1
    fields: Pairs
    trailers: Pairs = field(default_factory=list)
    body: bytes = b""
    framing: str = "none"  # or "length", "chunked", "close"

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def options(self, name: str) -> list[str]:
        return [item.strip(" \t").lower() for value in self.values(name) for item in value.split(",")]

    @property
    def closes(self) -> bool:
        options = self.options("connection")
        return "close" in options or (self.version == "1.0" and "keep-alive" not in options) or self.framing == "close"


@dataclass
class Request(Head):
    method: str = ""
    target: str = ""
    authority: str = ""  # of the target URI, "" if HTTP/1.0 names none

    @property
    def leaves_http(self) -> bool:
        """Whether what follows is a tunnel's or nobody's."""
        asks = "upgrade" in self.options("connection") and "websocket" in self.options("upgrade")
        return self.method == "CONNECT" or (asks and self.version == "1.1")


@dataclass
class Response(Head):
    status: int = 0
    reason: str = ""
    interim: list[int] = field(default_factory=list)  # the statuses of the 1xx before it


def read_requests(wire: bytes) -> list[Request]:
    """The requests that fill `wire` to its last octet, as a proxy has to send them: without an empty line anywhere."""
    requests, rest = split_requests(wire, empty_line=False)
    if rest:
        raise Off(f"{rest[:40]!r} behind the last request")
    return requests


def split_requests(wire: bytes, *, empty_line: bool = True) -> tuple[list[Request], bytes]:
    """The requests of `wire` and what follows the one after which a server reads no more HTTP."""
    requests: list[Request] = []
    at = 0
    try:
        while at < len(wire):
            if empty_line and wire.startswith(b"\r\n", at):
                at += 2
                if at == len(wire):
                    break
            request, at = _request(wire, at)
            requests.append(request)
            if request.closes or request.leaves_http:
                break
    except Off as off:
        off.before = requests
        raise
    return requests, wire[at:]


def take_request(wire: bytes) -> tuple[Request, bytes]:
    """The first request of `wire` and what follows it; `Off` as long as it is not whole."""
    request, at = _request(wire, 0)
    return request, wire[at:]


def read_responses(wire: bytes, methods: Sequence[str] = ("GET",), upgrade: str | None = None) -> list[Response]:
    """The responses to requests of these `methods`, which fill `wire` to its last octet."""
    responses, rest = split_responses(wire, methods, upgrade)
    if rest:
        raise Off(f"{rest[:40]!r} behind the last response")
    return responses


def split_responses(
    wire: bytes, methods: Sequence[str] = ("GET",), upgrade: str | None = None
) -> tuple[list[Response], bytes]:
    """The responses to `methods` and what follows the last.

    `wire` ends where the connection did; `upgrade` is the protocol that was asked for.
    """
    responses: list[Response] = []
    at = 0
    for method in methods:
        if responses and responses[-1].closes:
            raise Off("a response behind one that closes")
        response, at = _response(wire, at, method, upgrade)
        responses.append(response)
    return responses, wire[at:]


def _request(wire: bytes, at: int) -> tuple[Request, int]:
    line, fields, at = _head(wire, at)
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        raise Off(f"request line {line[:80]!r}")
    if match[3] != b"1":
        raise Off("another major version", 505)
    version = "1.0" if match[4] == b"0" else "1.1"
    request = Request(version, fields, method=match[1].decode(), target=match[2].decode())
    hosts = request.values("host")
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        raise Off(f"{len(hosts)} Host fields")
    for host in hosts:
        _authority(host)
    request.authority = _target(request) or "".join(hosts)
    request.framing = _framing(request) or "none"
    if request.method == "CONNECT" and request.framing != "none" and request.values("content-length") != ["0"]:
        raise Off("CONNECT with content")
    return request, _body(request, wire, at)


def _response(wire: bytes, at: int, method: str, upgrade: str | None) -> tuple[Response, int]:
    interim = []
    while True:
        line, fields, at = _head(wire, at)
        match = STATUS_LINE.fullmatch(line)
        if not match:
            raise Off(f"status line {line[:80]!r}")
        status = int(match[2])
        if status == 101 or status >= 200:
            break
        interim.append(status)
    version = "1.0" if match[1] == b"0" else "1.1"
    response = Response(version, fields, status=status, reason=(match[3] or b"").decode("latin-1"), interim=interim)
    if status == 101:
        asked = upgrade is not None and response.options("upgrade") == [upgrade.lower()]
        if not asked or version == "1.0" or "upgrade" not in response.options("connection"):
            raise Off("a switch of protocols that was not asked for")
        return response, at
    if method == "CONNECT" and status < 300:
        return response, at
    framing = _framing(response) or "close"
    if method != "HEAD" and status not in (204, 304):
        response.framing = framing
    return response, _body(response, wire, at)


def _head(wire: bytes, at: int) -> tuple[bytes, Pairs, int]:
    """The start line, the fields, and where they end."""
    end = wire.find(b"\r\n\r\n", at)
    if end < 0:
        raise Off("a head without an end")
    first, *lines = wire[at:end].split(b"\r\n")
    return first, [_field(line) for line in lines], end + 4


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not FIELD_NAME.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise Off(f"field line {line[:80]!r}")
    return name.decode(), value.strip(b" \t").decode("latin-1")


def _target(request: Request) -> str:
    """The authority that the target names, "" if it names none."""
    target = request.target
    if "#" in target:
        raise Off("a fragment")
    if request.method == "CONNECT":
        port = _authority(target)
        if not port or len(port) > 5 or not 1 <= int(port) <= 65535:
            raise Off("CONNECT without a port")
        return target
    if target.startswith("/") or (target == "*" and request.method == "OPTIONS"):
        return ""
    absolute = re.fullmatch(r"(?:http|https)://([^/?]*)(?:[/?].*)?", target, re.IGNORECASE)
    if not absolute:
        raise Off(f"target {target[:80]!r}")
    _authority(absolute[1])
    return absolute[1]


def _authority(text: str) -> str | None:
    """The port of an authority, None or "" where it has none."""
    match = AUTHORITY.fullmatch(text)
    if not match:
        raise Off(f"authority {text[:80]!r}")
    if match[1].startswith("["):
        try:
            IPv6Address(match[1][1:-1])
        except ValueError:
            raise Off(f"address {match[1]!r}") from None
    port: str | None = match[2]
    return port


def _framing(head: Head) -> str | None:
    """How the fields frame the body, None if they do not."""
    lengths, codings = head.values("content-length"), head.values("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise Off("framed twice")
    if lengths and not re.fullmatch("[0-9]+", lengths[0]):
        raise Off(f"length {lengths[0][:80]!r}")
    if codings and (codings[0].lower() != "chunked" or head.version == "1.0"):
        raise Off(f"coding {codings[0][:80]!r} in HTTP/{head.version}")
    return "length" if lengths else "chunked" if codings else None


def _body(head: Head, wire: bytes, at: int) -> int:
    """Give `head` its body and trailers; where they end."""
    if head.framing == "length":
        digits = head.values("content-length")[0].lstrip("0") or "0"
        if len(digits) > 18 or at + int(digits) > len(wire):
            raise Off("a body shorter than its length")
        end = at + int(digits)
        head.body = wire[at:end]
        return end
    if head.framing == "close":
        head.body = wire[at:]
        return len(wire)
    if head.framing == "chunked":
        return _chunks(head, wire, at)
    return at


def _chunks(head: Head, wire: bytes, at: int) -> int:
    data = []
    while True:
        line, at = _line(wire, at)
        match = CHUNK_LINE.fullmatch(line)
        if not match:
            raise Off(f"chunk line {line[:80]!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        data.append(wire[at : at + size])
        at += size
        if wire[at : at + 2] != b"\r\n":
            raise Off("a chunk that does not end where it should")
        at += 2
    head.body = b"".join(data)
    while True:
        line, at = _line(wire, at)
        if not line:
            return at
        name, value = _field(line)
        if name.lower() in FRAMING_NAMES:
            raise Off(f"trailer {name}")
        head.trailers.append((name, value))


def _line(wire: bytes, at: int) -> tuple[bytes, int]:
    end = wire.find(b"\r\n", at)
    if end < 0:
        raise Off("a line without an end")
    return wire[at:end], end + 2

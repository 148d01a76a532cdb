import asyncio
import json
import re
import time
from collections.abc import Iterator

import pytest

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Origin, Target
from interpose.filters.access_log import AccessLog

EXAMPLE = Authority("example.org")
# What Apache's and nginx's own documentation, and every reader of such logs, take for a combined line.
COMBINED = re.compile(
    r"(?P<client>\S+) - (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"\n'
)


@pytest.fixture(autouse=True)
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def exchange(host: str = "192.0.2.1", port: int = 50000) -> Exchange:
    return Exchange(42, 1, "main", Address(host, port), 100.0)


def get(target: Target, *fields: tuple[str, str | bytes]) -> Request:
    return Request("GET", target, Fields(fields))


async def answer(exchange: Exchange, request: Request) -> Response:
    request.fields.set("User-Agent", "changed on the way")
    request.target = request.target._replace(path="/changed")
    return Response(200)


def line(format_: str, of: Exchange, request: Request | None, outcome: Outcome, wall: float = 1763629579.0) -> str:
    lines: list[bytes] = []
    log = AccessLog(format_, lines.append, lambda: wall)  # type: ignore[arg-type]
    if request is None:
        log.without_request(of)
    else:
        asyncio.run(log(of, request, forward=answer))  # type: ignore[arg-type]
    of.finish(outcome)
    assert len(lines) == 1
    return lines[0].decode("ascii" if format_ == "combined" else "utf-8")


def conversation(asked: str, notes: dict[str, str] | None = None) -> Exchange:
    of = exchange()
    of.asked = asked
    of.notes.update(notes or {})
    return of


def test_a_conversation_has_a_line_of_the_same_shape() -> None:
    of = conversation("TCP 127.0.0.1:5432", {"bytes_in": "567"})
    assert line("combined", of, None, Outcome(200, 1234, None, 108.9014)) == (
        '192.0.2.1 - - [20/Nov/2025:10:06:19 +0100] "TCP 127.0.0.1:5432" 200 1234 "-" "-" in=567 seconds=8.901\n'
    )


def test_a_conversation_that_failed_says_why() -> None:
    of = conversation("TCP tls://db.example:5432", {"bytes_in": "5"})
    failure = Failure("tls_certificate_error", Side.UPSTREAM, 'The certificate of "db" cannot be trusted.')
    assert line("combined", of, None, Outcome(502, 0, failure, 108.9)).endswith(
        ' 502 0 "-" "-" in=5 seconds=8.900 failure="The certificate of \\x22db\\x22 cannot be trusted."\n'
    )
    left = Failure("connection_terminated", Side.DOWNSTREAM, "", status=0)
    written = line("combined", conversation("TCP"), None, Outcome(left.status, 7, left, 100.0))
    assert ' 499 7 "-" "-" in=0 seconds=0.000 failure="' in written


def test_a_conversation_says_in_json_what_came_and_what_went() -> None:
    of = conversation("UDP [::1]:53", {"bytes_in": "567"})
    written = json.loads(line("json", of, None, Outcome(200, 1234, None, 108.9014)))
    assert {key: written[key] for key in ("method", "target", "status", "bytes", "bytes_in", "duration_ms")} == {
        "method": "UDP",
        "target": "[::1]:53",
        "status": 200,
        "bytes": 1234,
        "bytes_in": 567,
        "duration_ms": 8901.4,
    }


def test_a_conversation_that_leads_nowhere_has_no_target() -> None:
    written = json.loads(line("json", conversation("TCP"), None, Outcome(403, 0, None, 100.0)))
    assert (written["method"], written["bytes_in"], "target" in written) == ("TCP", 0, False)


def test_a10_what_a_client_asks_for_stays_in_its_quotes() -> None:
    written = line("combined", conversation('SOCKS a"\n\x1b.example:80'), None, Outcome(403, 0, None, 100.0))
    assert '"SOCKS a\\x22\\x0A\\x1B.example:80"' in written


def test_a_combined_line_is_what_nginx_writes() -> None:
    of = exchange()
    request = get(
        Target(Form.ORIGIN, "http", EXAMPLE, "/a", "b=c"),
        ("Host", "example.org"),
        ("Referer", "http://example.org/"),
        ("User-Agent", "Mozilla/5.0 (X11)"),
    )
    assert line("combined", of, request, Outcome(200, 1234, None, 100.5)) == (
        '192.0.2.1 - - [20/Nov/2025:10:06:19 +0100] "GET /a?b=c HTTP/1.1" 200 1234 '
        '"http://example.org/" "Mozilla/5.0 (X11)"\n'
    )


@pytest.mark.parametrize(
    ("target", "written"),
    [
        (Target(Form.ORIGIN, "http", EXAMPLE, "/"), "GET / HTTP/1.1"),
        (Target(Form.ABSOLUTE, "http", EXAMPLE, "/", "q"), "GET http://example.org/?q HTTP/1.1"),
        (Target(Form.ABSOLUTE, "http", Authority("::1", 8000), "/"), "GET http://[::1]:8000/ HTTP/1.1"),
        (Target(Form.AUTHORITY, "http", Authority("example.org", 443), ""), "GET example.org:443 HTTP/1.1"),
        (Target(Form.ASTERISK, "http", EXAMPLE, ""), "GET * HTTP/1.1"),
        (Target(Form.ORIGIN, "http", EXAMPLE, '/"\\'), r"GET /\x22\x5C HTTP/1.1"),
        (Target(Form.ORIGIN, "http", EXAMPLE, "/é\x1b"), r"GET /\xC3\xA9\x1B HTTP/1.1"),
    ],
)
def test_the_target_stands_as_the_client_wrote_it(target: Target, written: str) -> None:
    match = COMBINED.fullmatch(line("combined", exchange(), get(target), Outcome(200, 0, None, 101.0)))
    assert match is not None
    assert match["request"] == written


def test_in_a_tunnel_that_is_looked_into_the_target_is_whole() -> None:
    of = exchange()
    of.authority = "shop.example"
    target = Target(Form.ORIGIN, "https", Authority("shop.example"), "/cart", "a=1")
    match = COMBINED.fullmatch(line("combined", of, get(target), Outcome(200, 0, None, 101.0)))
    assert match is not None
    assert match["request"] == "GET https://shop.example/cart?a=1 HTTP/1.1"


def test_a10_quotes_and_control_bytes_cannot_forge_a_line() -> None:
    of = exchange()
    of.user = 'eve" 200\n'
    agent = b'x" 200 1 "-" "\\" \x80\xff\t\x1b'.replace(b"\x1b", b"")
    request = get(Target(Form.ORIGIN, "http", EXAMPLE, "/"), ("User-Agent", agent.strip(b"\t")), ("Referer", b'"'))
    match = COMBINED.fullmatch(line("combined", of, request, Outcome(403, 0, None, 101.0)))
    assert match is not None
    assert match["user"] == r"eve\x22\x20200\x0A"
    assert match["referer"] == r"\x22"
    assert match["agent"] == r"x\x22 200 1 \x22-\x22 \x22\x5C\x22 \x80\xFF"


def test_a10_no_control_character_reaches_a_json_line() -> None:
    of = exchange()
    of.user = "a\x00\x7f\x9b\u2028"
    of.notes["why"] = "\x1b[2J"
    request = get(Target(Form.ORIGIN, "http", EXAMPLE, "/\x1b"), ("User-Agent", "\x9b31mé".encode()))
    written = line("json", of, request, Outcome(200, 0, None, 101.0))
    assert written.endswith("}\n")
    assert [c for c in written[:-1] if ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F] == []
    read = json.loads(written)
    assert read["user"] == "a\x00\x7f\x9b\u2028"
    assert read["user_agent"] == "\x9b31mé"
    assert read["notes"] == {"why": "\x1b[2J"}


def test_a37_secrets_stay_out_of_both_formats() -> None:
    secrets = (("Authorization", "Basic c2VjcmV0"), ("Proxy-Authorization", "Basic c2VjcmV0"), ("Cookie", "c2VjcmV0"))
    for format_ in ("combined", "json"):
        request = get(Target(Form.ORIGIN, "http", EXAMPLE, "/"), *secrets)
        assert "c2VjcmV0" not in line(format_, exchange(), request, Outcome(200, 0, None, 101.0))


def test_a_json_line_has_what_the_exchange_has() -> None:
    of = exchange()
    of.user = "anna"
    of.attempts = [Attempt(Origin("http", "example.org", 80), 100.1), Attempt(Origin("http", "example.org", 80), 100.2)]
    of.attempts[1].peer = Address("198.51.100.7", 80)
    of.refused_by("allow", "10.0.0.0/8", "not in it")
    request = get(Target(Form.ORIGIN, "http", EXAMPLE, "/a", "b"), ("User-Agent", "curl/7.88"))
    failure = Failure("http_response_timeout", Side.UPSTREAM, "No answer in 60 s.")
    written = line("json", of, request, Outcome(504, 77, failure, 100.5), wall=1763629579.9996)
    assert json.loads(written) == {
        "time": "2025-11-20T09:06:19.999Z",
        "id": "1-2a",
        "listener": "main",
        "client": "192.0.2.1",
        "user": "anna",
        "method": "GET",
        "target": "http://example.org/a?b",
        "status": 504,
        "bytes": 77,
        "duration_ms": 500.0,
        "upstream": "198.51.100.7:80",
        "attempts": 2,
        "failure": "http_response_timeout",
        "side": "upstream",
        "detail": "No answer in 60 s.",
        "user_agent": "curl/7.88",
        "notes": {"filter": "allow", "rule": "10.0.0.0/8", "why": "not in it"},
    }


def test_a_client_that_left_before_any_answer_is_a_499() -> None:
    match = COMBINED.fullmatch(line("combined", exchange(), None, Outcome(0, 0, None, 101.0)))
    assert match is not None
    assert (match["status"], match["request"]) == ("499", "-")
    assert json.loads(line("json", exchange(), None, Outcome(0, 0, None, 101.0)))["status"] == 0


def test_a_request_that_could_not_be_read_is_logged_too() -> None:
    outcome = Outcome(400, 12, Failure("http_request_error", Side.DOWNSTREAM, "Bare CR."), 101.0)
    assert ' "-" 400 12 "-" "-"\n' in line("combined", exchange(), None, outcome)
    assert json.loads(line("json", exchange(), None, outcome))["detail"] == "Bare CR."


def test_a_client_on_a_unix_socket_has_no_address() -> None:
    request = get(Target(Form.ORIGIN, "http", EXAMPLE, "/"))
    assert line("combined", exchange("", 0), request, Outcome(200, 0, None, 101.0)).startswith("unix: - - [")


def test_f20_the_time_is_right_again_a_second_after_the_clock_jumped() -> None:
    lines: list[bytes] = []
    wall = 1763629579.25
    log = AccessLog("combined", lines.append, lambda: wall)
    for ended in (100.0, 100.7, 100.8):
        of = exchange()
        log.without_request(of)
        of.finish(Outcome(200, 0, None, ended))
        wall = 1763633179.0
    assert [raw[22:30] for raw in lines] == [b"2025:10:"] * 2 + [b"2025:11:"]


def test_a_line_is_written_in_two_microseconds() -> None:
    of = exchange()
    target = Target(Form.ORIGIN, "http", EXAMPLE, "/")
    fields = [("User-Agent", "Mozilla/5.0"), *((f"X-Field-{n}", "value") for n in range(10))]
    lines: list[bytes] = []
    log = AccessLog("combined", lines.append)
    log(of, get(target, *fields), forward=answer).close()  # type: ignore[arg-type,attr-defined]
    end = of._at_end.pop()
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(100):
            end(Outcome(200, 0, None, 101.0))
        best = min(best, time.perf_counter() - started)
    assert best / 100 < 10e-6  # measured: 1.2; the rest is for busy machines

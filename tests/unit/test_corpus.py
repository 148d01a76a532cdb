"""The corpus as data: it loads, it is large enough, every theme is there, and mistakes are refused by name."""

from collections import Counter
from pathlib import Path

import pytest
from tests import corpus
from tests.corpus import ExpectedRequest, ExpectedResponse

MESSAGES = corpus.load()

# Fewer would mean that some were lost, so a theme grows here as it grows there.
AT_LEAST = {
    "chunked": 100,
    "expect": 20,
    "fields": 100,
    "framing-requests": 110,
    "framing-responses": 120,
    "hop-by-hop": 40,
    "host": 65,
    "interim": 30,
    "limits": 60,
    "numbers": 170,
    "pipelining": 45,
    "request-line": 115,
    "responses": 100,
    "target": 115,
    "trailers": 55,
    "upgrade-connect": 85,
}

REFUSED = """
[[message]]
name = "no-version"
rule = "RFC 9112, 3"
kind = "request"
bytes = "GET /\\r\\n\\r\\n"
verdict = "reject"
status = 400
"""

ACCEPTED = """
[[message]]
name = "a-late-answer"
rule = "RFC 9112, 6.3 rule 6"
kind = "response"
parts = [
  ["HTTP/1.1 100 \\r\\n\\r\\n", 2],
  [[["HTTP/1.1 200 ", 1], ["\\r\\n", 1]], 1],
  ["Content-Length: 3\\r\\n\\r\\na\\u00e9\\u0000", 1],
]
verdict = "accept"
request_method = "POST"
interim = [100, 100]
messages = [
  { status = 200, body = "a\\u00e9\\u0000", framing = "length", fields = [["Content-Length", "3"]], close = false },
]
"""


def test_every_theme_has_its_messages() -> None:
    counts = Counter(message.theme for message in MESSAGES)
    assert set(counts) == set(AT_LEAST)
    assert {theme: count for theme, count in counts.items() if count < AT_LEAST[theme]} == {}


def test_both_kinds_have_both_verdicts() -> None:
    counts = Counter((message.kind, message.verdict) for message in MESSAGES)
    assert counts["request", "reject"] > 700
    assert counts["request", "accept"] > 250
    assert counts["response", "reject"] > 200
    assert counts["response", "accept"] > 120


def test_every_status_of_a_refusal_occurs() -> None:
    refused = {m.status for m in MESSAGES if m.verdict == "reject" and m.kind == "request"}
    assert refused == corpus.REQUEST_STATUSES


def test_no_wire_is_there_twice() -> None:
    wires = Counter((m.kind, m.wire, m.request_method, m.request_upgrade) for m in MESSAGES)
    assert [key for key, count in wires.items() if count > 1] == []


def test_only_long_wires_are_not_split() -> None:
    assert [m.name for m in MESSAGES if m.split == (len(m.wire) > 1500)] == []


def test_a_refusal_is_read_from_its_table() -> None:
    [message] = corpus.parse("a-theme", REFUSED)
    assert message == corpus.Message(
        "a-theme", "no-version", "RFC 9112, 3", "request", b"GET /\r\n\r\n", "reject", status=400
    )


def test_parts_are_repeated_and_code_points_are_octets() -> None:
    [message] = corpus.parse("a-theme", ACCEPTED)
    assert message.wire == (
        b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\nContent-Length: 3\r\n\r\na\xe9\x00"
    )
    assert message.request_method == "POST"
    assert message.interim == (100, 100)
    assert message.messages == (
        ExpectedResponse(200, b"a\xe9\x00", "length", fields=(("Content-Length", "3"),), close=False),
    )


def test_expected_requests_are_read_from_their_tables() -> None:
    [message] = [m for m in MESSAGES if m.name == "a-trailer-and-then-another-request"]
    assert message.messages == (
        ExpectedRequest("POST", "/", "1.1", b"abcde", trailers=(("X", "y"),)),
        ExpectedRequest("GET", "/next", "1.1", b""),
    )


@pytest.mark.parametrize(
    ("text", "old", "new", "complaint"),
    [
        (REFUSED, 'name = "no-version"\n', "", "name missing"),
        (REFUSED, 'rule = "RFC 9112, 3"\n', "", "rule missing"),
        (REFUSED, "no-version", "No version", "a name is words"),
        (REFUSED, "RFC 9112, 3", "it looks odd", "a rule begins with the clause"),
        (REFUSED, '"request"', '"question"', "kind is request or response"),
        (REFUSED, '"reject"', '"maybe"', "verdict is accept or reject"),
        (REFUSED, "status = 400", "", "None is no status of ours"),
        (REFUSED, "status = 400", "status = 502", "502 is no status of ours"),
        (REFUSED, "status = 400", 'status = 400\npolicy = "mine"', "policy is choice or ours"),
        (REFUSED, "status = 400", 'status = 400\npolicy = "ours"\nincomplete = true', "is no policy"),
        (REFUSED, "status = 400", "status = 400\ninterim = [100]", "interim: no key of a request"),
        (REFUSED, "status = 400", "status = 400\ncolour = 1", "colour: no key of a request"),
        (REFUSED, "bytes =", "octets =", "octets: no key"),
        (REFUSED, "status = 400", 'status = 400\nparts = [["x", 1]]', "either bytes or parts"),
        (REFUSED, "\\r\\n\\r\\n", "\\u20ac", "ordinal not in range"),
        (REFUSED, "status = 400", 'status = 400\nmessages = [{ method = "GET" }]', "body, target, version"),
        (ACCEPTED, "interim = [100, 100]", "interim = [101]", "an interim status is 1xx"),
        (ACCEPTED, "interim = [100, 100]", 'rest = "x"', "does not end in the rest"),
        (ACCEPTED, "interim = [100, 100]", 'rest = "\\u0000"\nextra = true', "either rest or extra"),
        (ACCEPTED, "interim = [100, 100]", "status = 502", "status: no key of a response"),
        (ACCEPTED, '"length"', '"guess"', "framing is one of"),
        (ACCEPTED, "close = false", "closed = false", "closed"),
        (
            ACCEPTED,
            "close = false },",
            'close = false },\n{ status = 204, body = "", framing = "none" },',
            "one message of a",
        ),
        (REFUSED, 'verdict = "reject"\nstatus = 400', 'verdict = "accept"', "says what is read"),
    ],
)
def test_what_is_not_well_made_is_refused_by_name(text: str, old: str, new: str, complaint: str) -> None:
    assert text.count(old) == 1
    with pytest.raises(ValueError, match=complaint) as raised:
        corpus.parse("a-theme", text.replace(old, new))
    assert str(raised.value).startswith("a-theme: ")


def test_a_file_holds_nothing_but_messages() -> None:
    with pytest.raises(ValueError, match="nothing else"):
        corpus.parse("a-theme", "title = 'x'\n" + REFUSED)


def test_a_name_is_used_once_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(REFUSED)
    (tmp_path / "two.toml").write_text(REFUSED.replace("GET", "PUT"))
    with pytest.raises(ValueError, match="two: 'no-version' is a name in one, too"):
        corpus.load(tmp_path)

"""The Core Rule Set through our binding: attacks of each class are refused at paranoia 1, ordinary traffic is not."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tests.unit.filters.firewall.conftest import Ask, flags

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PARTS = {"Content-Type": "multipart/form-data; boundary=----part"}


def parts(name: str, file: str, content: bytes, note: str = "a note") -> bytes:
    head = f'------part\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\nContent-Type: image/png'
    rest = f'\r\n------part\r\nContent-Disposition: form-data; name="note"\r\n\r\n{note}\r\n------part--\r\n'
    return f"{head}\r\n\r\n".encode() + content + rest.encode()


ATTACKS = [
    pytest.param("/?id=1%27%20or%20%271%27=%271", "GET", {}, b"", "942", id="sql injection"),
    pytest.param("/?id=1%20union%20select%20name%20from%20users--", "GET", {}, b"", "942", id="sql union"),
    pytest.param("/search", "POST", FORM, b"q=%3Cscript%3Ealert(1)%3C/script%3E", "941", id="script in a form"),
    pytest.param("/", "POST", JSON, b'{"a":{"b":"<img src=x onerror=alert(1)>"}}', "941", id="script in JSON"),
    pytest.param("/?file=../../../../etc/passwd", "GET", {}, b"", "930", id="local file"),
    pytest.param("/?page=http://192.0.2.66/shell.txt?", "GET", {}, b"", "931", id="remote file"),
    pytest.param("/?host=example.org;cat%20/etc/shadow", "GET", {}, b"", "932", id="shell command"),
    pytest.param("/?x=()%20%7B%20:;%7D;%20/bin/bash%20-c%20id", "GET", {}, b"", "932", id="shellshock"),
    pytest.param("/?a=%3C?php%20system($_GET%5B0%5D);?%3E", "GET", {}, b"", "933", id="php"),
    pytest.param("/?a=php://filter/resource=index", "GET", {}, b"", "933", id="php wrapper"),
    pytest.param("/", "POST", JSON, b'{"a":"_$$ND_FUNC$$_function (){ 1 }()"}', "934", id="node"),
    pytest.param("/?a=java.lang.Runtime.getRuntime().exec(x)", "GET", {}, b"", "944", id="java"),
    pytest.param("/", "GET", {"Cookie": "a=java.lang.ProcessBuilder"}, b"", "944", id="java in a cookie"),
    pytest.param(
        "/?PHPSESSID=abc", "GET", {"Referer": "http://evil.example/"}, b"", "943", id="session fixation"
    ),
    pytest.param("/", "GET", {"User-Agent": "sqlmap/1.7"}, b"", "913", id="scanner"),
    pytest.param("/", "GET", {"Content-Type": "text/plain;;x"}, b"x", "920", id="protocol: a bad content type"),
    pytest.param("/.git/config", "GET", {}, b"", "930", id="restricted file"),
    pytest.param("/backup.sql", "GET", {}, b"", "920", id="restricted extension"),
    pytest.param("/", "POST", PARTS, parts("f", "shell.php", b"x"), "933", id="upload of a program"),
    pytest.param("/", "POST", PARTS, parts("f", "a.png", b"x", "<script>alert(1)</script>"), "941", id="in a part"),
    pytest.param("/", "POST", JSON, b'{"a":', "8400003", id="JSON that is none"),
    pytest.param("/?q=%0d%0aSet-Cookie:%20a=b", "GET", {}, b"", "921", id="a field in an argument"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "method", "fields", "body", "by"), ATTACKS)
def test_an_attack_is_refused_and_explained(
    target: str, method: str, fields: Mapping[str, str | None], body: bytes, by: str, ask: Ask
) -> None:
    verdict = ask(target, method, fields, body)
    assert verdict.status in (400, 403)
    explained = [match for match in verdict.matches if match.rule.startswith(by) or by in match.tags]
    assert explained, verdict.matches
    assert all(match.message and match.score for match in explained)


LEAKS = [
    ("You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version", "951"),
    ("<b>Fatal error</b>: Call to undefined function a() in /srv/a.php</b> on line <b>3", "953"),
    ("java.lang.NullPointerException\n\tat org.example.A.b(A.java:3)", "952"),
    ("<title>Index of /</title><h1>Index of /</h1>", "950"),
]


@pytest.mark.parametrize(("text", "by"), LEAKS)
def test_an_answer_that_tells_too_much_is_withheld(text: str, by: str, ask: Ask) -> None:
    verdict = ask(answer=(200, {"Content-Type": "text/html"}, f"<html>{text}</html>".encode()))
    assert verdict.status == 403
    assert [match for match in verdict.matches if match.rule.startswith(by)]
    assert sum(verdict.outbound) >= 4


ORDINARY = [
    pytest.param("/", "GET", {}, b"", id="a page"),
    pytest.param("/articles/2023/what-we-did-last-summer?page=2&sort=-date", "GET", {}, b"", id="a list"),
    pytest.param("/search?q=O%27Reilly+books+%26+magazines", "GET", {}, b"", id="a name with an apostrophe"),
    pytest.param("/search?q=caf%C3%A9+%E2%82%AC20", "GET", {}, b"", id="other letters"),
    pytest.param("/style.css?v=1a2b3c", "GET", {"Accept": "text/css,*/*;q=0.1"}, b"", id="a style sheet"),
    pytest.param("/a.png", "HEAD", {"If-None-Match": '"abc"'}, b"", id="a validation"),
    pytest.param("/video.mp4", "GET", {"Range": "bytes=0-1023"}, b"", id="a part"),
    pytest.param("/login", "POST", FORM, b"user=anna&password=Tr0ub4dor%263&next=%2Faccount", id="a form"),
    pytest.param(
        "/contact", "POST", FORM, b"subject=Order+7&text=Hello%2C+where+is+my+order%3F+It%27s+late", id="a letter"
    ),
    pytest.param("/api/things/7", "PUT", JSON, json.dumps({"name": "Lamp", "price": 12.5}).encode(), id="PUT"),
    pytest.param("/api/things/7", "PATCH", JSON, b'{"tags":["new","sale"]}', id="PATCH"),
    pytest.param("/api/things/7", "DELETE", {"Authorization": "Bearer abc.def.ghi"}, b"", id="DELETE"),
    pytest.param("/api/search", "POST", JSON, json.dumps({"and": [{"a": 1}, {"b": [True, None]}]}).encode(), id="JSON"),
    pytest.param("/upload", "POST", PARTS, parts("photo", "holiday.png", bytes(range(256)) * 16), id="an upload"),
    pytest.param("/api", "OPTIONS", {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}, b"",
                 id="a preflight"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "method", "fields", "body"), ORDINARY)
def test_ordinary_traffic_passes_at_paranoia_1(
    target: str, method: str, fields: Mapping[str, str | None], body: bytes, ask: Ask
) -> None:
    verdict = ask(target, method, fields, body, answer=(200, {"Content-Type": "text/html"}, b"<p>All is well.</p>"))
    assert (verdict.status, verdict.matches) == (0, [])


SQL = "1%27%20union%20select%20name%20from%20users%20--%20"


def test_a_level_above_the_blocking_one_is_noted_and_blocks_nothing(ask_with_exclusions: Ask) -> None:
    verdict = ask_with_exclusions("/?a=select")
    above = ask_with_exclusions("/?a=%27%27")
    assert (verdict.status, above.status) == (0, 0)
    assert above.matches
    assert above.inbound[0] == 0
    assert sum(above.inbound[1:]) > 0


@pytest.mark.parametrize(
    ("target", "exclusions", "status"),
    [
        (f"/?id={SQL}", (), 403),
        (f"/?note={SQL}", (), 0),
        (f"/?note={SQL}&id={SQL}", (), 403),
        (f"/a?id={SQL}", (1,), 0),
        (f"/a?other={SQL}", (1,), 403),
        ("/b?q=<script>alert(1)</script>", (), 403),
        ("/b?q=<script>alert(1)</script>", (2,), 0),
        ("/c?q=../../a", (), 0),
    ],
)
def test_what_is_excluded_is_not_looked_at_and_nothing_else_is_left_out(
    target: str, exclusions: tuple[int, ...], status: int, ask_with_exclusions: Ask
) -> None:
    assert ask_with_exclusions(target, flags=flags(*exclusions)).status == status


def test_a_route_that_only_detects_refuses_nothing_and_sees_the_same(ask: Ask) -> None:
    blocked, detected = ask(f"/?id={SQL}"), ask(f"/?id={SQL}", flags=flags(detects=True))
    assert (blocked.status, detected.status) == (403, 0)
    assert detected.inbound == blocked.inbound
    assert {match.rule for match in blocked.matches} <= {match.rule for match in detected.matches}


def test_text_of_a_client_does_not_pass_for_words_of_the_library(ask: Ask) -> None:
    forged = "%22%5D%20%5Bline%20%221%22%5D%20%5Bid%20%22999999%22%5D%20%5Brev%20%22%22%5D%20%5Bmsg%20%22forged%22%5D"
    verdict = ask(f"/%5Bfile%20%22/x{forged}?a%27%20(Value:%20={SQL}%5Bfile%20%22/x{forged}")
    assert verdict.status == 403
    assert not [match for match in verdict.matches if match.rule == "999999" or match.message == "forged"]
    assert sum(verdict.inbound) >= 5

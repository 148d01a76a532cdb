"""Records of a shop behind a firewall: some attacks, some oddities, and customers whose reviews look like SQL."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.support.journal_records import record

from interpose.core.record import Part, Record

SENT = b"Host: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n"
TABLES = {
    "process": {"name": "web"},
    "firewall": {"detection_paranoia": 2},
    "listener": [{"name": "web", "role": "gateway", "address": "127.0.0.1:0"}],
}
SQL = "1' union select name from users -- "
REVIEW = "Great! I'd select it from all others; drop me a line"


def passed(number: int, path: str, *said: str, **changes: Any) -> Record:
    """An exchange; `said` is what the firewall noted: how it ended, and the matches."""
    notes = {}
    if said:
        notes = {"firewall": said[0], "firewall_matches": " | ".join(said[1:])}
    if said and said[0].startswith("blocked"):
        notes |= {"filter": "firewall", "rule": said[1].partition(" ")[0]}
        changes["status"] = 403
    known = {"listener": "web", "scheme": "http", "request": Part(SENT), "notes": notes}
    return record(number, **{**known, **changes}, target=f"http://shop.example{path}")


def posted(number: int, path: str, body: str, *said: str) -> Record:
    """The same for a form."""
    content = body.encode()
    fields = SENT + b"Content-Type: application/x-www-form-urlencoded\r\n"
    return passed(number, path, *said, method="POST", request=Part(fields, content, len(content)))


def some() -> list[Record]:
    """What the picture of the manual shows."""
    return [
        *(passed(number, f"/things/{number}?page=2") for number in range(1, 40)),
        passed(40, "/.env", "blocked inbound 5 of 5",
               "930130 5 REQUEST_FILENAME Restricted File Access Attempt"),
        posted(41, "/reviews", f"text={quote(REVIEW)}&stars=5", "noted inbound 0 of 5",
               "942200 0 ARGS:text Detects MySQL comment-/space-obfuscated injections"),
        passed(42, "/search?q=" + quote("<script>alert(1)</script>"), "blocked inbound 15 of 5",
               "941100 5 ARGS:q XSS Attack Detected via libinjection",
               "941110 5 ARGS:q XSS Filter - Category 1: Script Tag Vector",
               "941160 5 ARGS:q NoScript XSS InjectionChecker: HTML Injection"),
        passed(43, "/things?id=" + quote(SQL), "blocked inbound 15 of 5",
               "942100 5 ARGS:id SQL Injection Attack Detected via libinjection",
               "942190 5 ARGS:id Detects MSSQL code execution and information gathering attempts",
               "942360 5 ARGS:id Detects concatenated basic SQL injection and SQLLFI attempts"),
    ]  # fmt: skip

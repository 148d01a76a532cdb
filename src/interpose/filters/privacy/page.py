"""What a server sees of who asks, before and after: a page of the proxy about the request that asks for it.

/privacy?host=example.com   the fields of this request, as that host would get them
/privacy.json               the same for programs

A browser sends a proxy no cookies and no page before: where there are none, examples stand for them.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Final, NamedTuple

import msgspec

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.query.live import Live, parameters
from interpose.core.target import Authority, Form, Target
from interpose.filters.privacy.fields import Circumstances, inbound, trail_of
from interpose.filters.privacy.filter import first_of, rule_of
from interpose.filters.privacy.options import PrivacyRule
from interpose.filters.privacy.plan import PROFILES
from interpose.protocol import forwarding
from interpose.protocol.target import parse_authority

PAGE: Final = "/privacy"
DATA: Final = "/privacy.json"
_ELSEWHERE: Final = "example.com"
_SAYS_WHERE: Final = frozenset((b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-fetch-user"))


class Row(msgspec.Struct, frozen=True):
    """One field, as it comes and as a server gets it: of a page that somebody goes to, and of what a page of another
    site embeds. "" where it is not there."""

    name: str
    before: str
    page: str
    embedded: str
    is_example: bool = False


class Shown(msgspec.Struct, frozen=True):
    """What is told of one host. `rule` is "" where none means it."""

    host: str
    rule: str
    fields: list[Row]


class Columns(NamedTuple):
    """The same fields three times."""

    before: list[FieldLine]
    page: list[FieldLine]
    embedded: list[FieldLine]


class PrivacyPage:
    """The handler for these paths; others are `otherwise`'s."""

    def __init__(
        self,
        rules: Sequence[PrivacyRule],
        pseudonym: str,
        otherwise: Handler,
        wall: Callable[[], float] = time.time,
    ) -> None:
        page = files("interpose.filters.privacy").joinpath("page.html").read_text("utf-8")
        self._page = Template(page)
        self._rules = [rule_of(rule) for rule in rules]
        self._via = forwarding.via_line(1, pseudonym)
        self._otherwise = otherwise
        self._wall = wall
        style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """See the module; 405 for what is not GET or HEAD, 400 for a host that is none."""
        path = request.target.path
        if path not in (PAGE, DATA):
            return await self._otherwise(exchange, request)
        if request.method not in ("GET", "HEAD"):
            why = "What servers see can be had with GET."
            raise Failure("http_request_error", Side.DOWNSTREAM, why, status=405)
        asked = next((value for name, value in parameters(request.target.query) if name == "host"), "")
        shown = self.shown(exchange, request, parse_authority((asked or _ELSEWHERE).encode("utf-8")))
        if path == DATA:
            return _answer("application/json", msgspec.json.encode(shown))
        response = _answer("text/html; charset=utf-8", self._written(shown).encode())
        response.fields.add("Content-Security-Policy", self._policy)
        return response

    def shown(self, exchange: Exchange, request: Request, authority: Authority) -> Shown:
        """What a host would be told by this request."""
        target = Target(Form.ABSOLUTE, "https", authority, "/")
        lines = [line for line in request.fields.lines if line[0] not in _SAYS_WHERE]
        present = {line[0] for line in lines}
        examples = [
            field_line("Referer", f"https://{authority}/accounts/7?from=letter"),
            field_line("Cookie", "id=example"),
            field_line("If-None-Match", '"example"'),
        ]
        examples = [line for line in examples if line[0] not in present]
        live = Live(exchange, Request("GET", target, Fields.of(lines)), time=self._wall(), route=exchange.route)
        rule = first_of(self._rules, live)
        plan = PROFILES["keep"] if rule is None else rule.plan
        before = [*lines, *examples, self._via]
        columns = Columns(
            before,
            inbound(before, plan, Circumstances(False, True, trail_of(exchange, target))),
            inbound(before, plan, Circumstances(True, False, trail_of(exchange, target))),
        )
        return Shown(str(authority), "" if rule is None else rule.name, _rows(columns, {line[0] for line in examples}))

    def _written(self, shown: Shown) -> str:
        rows = "\n".join([_row(row) for row in shown.fields])
        rule = f"The rule “{shown.rule}” decides." if shown.rule else "No rule means this host: everything stays."
        return self._page.substitute(host=escape(shown.host), rule=escape(rule), rows=rows)


def _rows(columns: Columns, examples: set[bytes]) -> list[Row]:
    names: dict[bytes, str] = {}
    for lines in columns:
        for line in lines:
            names.setdefault(line[0], line[1].decode("latin-1"))
    before, page, embedded = columns
    return [
        Row(name, _value(before, key), _value(page, key), _value(embedded, key), key in examples)
        for key, name in names.items()
    ]


def _value(lines: list[FieldLine], key: bytes) -> str:
    return ", ".join([line[2].decode("latin-1") for line in lines if line[0] == key])


def _row(row: Row) -> str:
    name = escape(row.name) + (" <small>(an example)</small>" if row.is_example else "")
    before = escape(row.before) or "<i>not sent</i>"
    cells = _cell("going to it", row.page, row.before) + _cell("embedded", row.embedded, row.before)
    return f'<tr><th scope="row">{name}</th><td data-of="without rules">{before}</td>{cells}</tr>'


def _cell(of: str, value: str, before: str) -> str:
    if value == before:
        return f'<td data-of="{of}" class="same">the same</td>'
    return f'<td data-of="{of}">{escape(value)}</td>' if value else f'<td data-of="{of}" class="gone">not sent</td>'


def _answer(media_type: str, content: bytes) -> Response:
    fields = Fields(
        [("Content-Type", media_type), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    )
    return Response(200, fields, Body(content))

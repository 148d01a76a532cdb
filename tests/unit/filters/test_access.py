"""Access rules: which one decides, what follows, and what is said about it."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from tests.scenes.test_attacks_path import VARIANTS, is_admin, views

from interpose.core.decision import Decision, Question
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.hold import Ruling, Verdict
from interpose.core.message import Request, Response
from interpose.core.path_spellings import spelled
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.access.asking import Asker
from interpose.filters.access.filter import Access
from interpose.filters.access.options import AccessRule, AskOptions
from interpose.filters.access.rules import AccessRules, Rule
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.target import parse_target

MONDAY_NOON = time.mktime((2024, 1, 1, 12, 0, 0, 0, 1, -1))


class Counted:
    """Rules, and how often each was hit."""

    def __init__(self, *rules: AccessRule, hold: Any = None, askers: dict[int, Asker] | None = None) -> None:
        self.hits = [0] * len(rules)
        self.rules = AccessRules(
            [Rule(number + 1, rule, self._hit(number)) for number, rule in enumerate(rules)], lambda: MONDAY_NOON
        )
        self.access = Access(self.rules, hold, askers or {})

    def _hit(self, number: int) -> Any:
        def hit() -> None:
            self.hits[number] += 1

        return hit


def rule(when: str = "*", action: Any = "deny", **keys: Any) -> AccessRule:
    return AccessRule(when=when, action=action, **keys)


def asked(url: str = "http://www.example/", method: str = "GET", **about: Any) -> tuple[Exchange, Request]:
    exchange = Exchange(7, 1, "proxy", Address(about.get("client", "10.0.0.5"), 4711), 0.0)
    exchange.user, exchange.groups = about.get("user"), about.get("groups")
    if method == "CONNECT":
        host, _, port = url.rpartition(":")
        return exchange, Request(method, Target(Form.AUTHORITY, "", Authority(host, int(port)), ""), Fields())
    return exchange, Request(method, parse_target(method, url.encode(), False), Fields(about.get("fields", [])))


async def end(exchange: Exchange, request: Request) -> Response:
    return Response(204)


async def outcome(access: Access, exchange: Exchange, request: Request) -> int:
    try:
        return (await access(exchange, request, end)).status
    except Failure as failure:
        return failure.status


@pytest.mark.parametrize(
    ("url", "about", "status", "hits"),
    [
        ("http://shop.example/", {}, 204, [0, 0, 0, 1]),
        ("http://www.games.example/", {"user": "ann", "groups": ("staff",)}, 204, [1, 0, 0, 0]),
        ("http://www.games.example/", {"user": "bob", "groups": ()}, 451, [0, 1, 0, 0]),
        ("http://www.games.example/", {"client": "10.9.0.1"}, 403, [0, 0, 1, 0]),
        ("http://mail.example/", {"client": "10.9.0.1"}, 403, [0, 0, 1, 0]),
        ("http://mail.example/", {"client": "192.0.2.1"}, 204, [0, 0, 0, 1]),
    ],
)
async def test_the_first_rule_that_matches_decides(
    url: str, about: dict[str, Any], status: int, hits: list[int]
) -> None:
    counted = Counted(
        rule("group:staff host:*.games.example", "allow"),
        rule("host:*.games.example time:mon-fri/08:00-18:00 -from:10.9.0.0/16", status=451, message="Not at work."),
        rule("from:10.9.0.0/16"),
        rule("*", "allow"),
    )
    exchange, request = asked(url, **about)
    assert await outcome(counted.access, exchange, request) == status
    assert counted.hits == hits
    assert exchange.notes["access"]


@pytest.mark.parametrize(
    ("when", "action", "user", "groups", "status"),
    [
        ("-group:staff", "deny", "eve", None, 403),
        ("-group:staff", "deny", "eve", (), 403),
        ("-group:staff", "deny", "ann", ("staff",), 204),
        ("-group:staff", "deny", None, None, 403),
        ("group:guests", "deny", "eve", None, 403),
        ("group:guests", "deny", "eve", (), 204),
        ("group:guests", "deny", None, None, 204),
        ("-group:guests", "allow", "eve", None, 403),
        ("-group:guests", "allow", "eve", (), 204),
    ],
)
async def test_a11_nobody_comes_in_because_nothing_is_known_of_groups(
    when: str, action: str, user: str | None, groups: tuple[str, ...] | None, status: int
) -> None:
    counted = Counted(rule(when, action), rule("*", "deny" if action == "allow" else "allow"))
    for url in ("http://a.example/", "http://a.example/;a=b"):
        exchange, request = asked(url, user=user, groups=groups)
        assert await outcome(counted.access, exchange, request) == status


async def test_a_refusal_has_its_note_and_says_what_the_rule_says() -> None:
    counted = Counted(rule("host:a.example", name="no a", message="Ask <b>Ann</b>."), rule("host:b.example"))
    exchange, request = asked("http://a.example/")
    with pytest.raises(Failure) as caught:
        await counted.access(exchange, request, end)
    assert (caught.value.kind, caught.value.detail) == ("http_request_denied", "Ask <b>Ann</b>.")
    assert {key: exchange.notes[key] for key in ("filter", "rule", "why")} == {
        "filter": "access",
        "rule": "no a",
        "why": "Ask <b>Ann</b>.",
    }
    exchange, request = asked("http://b.example/")
    with pytest.raises(Failure, match=re.escape("The rule “host:b.example” does not allow this")):
        await counted.access(exchange, request, end)


@pytest.mark.parametrize(("message", "shown"), [("Ask Ann.", True), ("", False)])
async def test_a_gateway_shows_what_was_written_for_clients_and_nothing_else(message: str, shown: bool) -> None:
    counted = Counted(rule(name="secret", message=message))
    exchange, request = asked()
    with pytest.raises(Failure) as caught:
        await counted.access(exchange, request, end)
    answer = ErrorAnswer(ErrorAnswerOptions(show_detail=False))(exchange, request, caught.value)
    content = answer.body.take()
    assert (b"Ask Ann." in content, b"secret" in content) == (shown, False)


async def test_a35_the_page_shows_hostile_text_as_text() -> None:
    hostile = "\"><script>alert(1)</script>'&<img src=x onerror=alert(2)>"
    counted = Counted(rule(message=hostile))
    exchange, request = asked(fields=[("Accept", "text/html")])
    with pytest.raises(Failure) as caught:
        await counted.access(exchange, request, end)
    answer = ErrorAnswer(ErrorAnswerOptions())(exchange, request, caught.value)
    content = answer.body.take()
    assert b"&lt;script&gt;alert(1)" in content
    assert b"<script" not in content
    assert b"<img" not in content
    assert "default-src 'none'" in answer.fields.get("Content-Security-Policy", "")


async def test_a_rule_on_trial_is_counted_and_noted_and_decides_nothing() -> None:
    counted = Counted(rule("host:*", name="first", dry_run=True), rule(name="last", action="deny"))
    exchange, request = asked()
    assert await outcome(counted.access, exchange, request) == 403
    assert counted.hits == [1, 1]
    assert (exchange.notes["dry_run"], exchange.notes["rule"]) == ("deny by first", "last")


async def test_where_no_rule_matches_everything_is_allowed() -> None:
    counted = Counted(rule("host:other.example"))
    exchange, request = asked()
    assert await outcome(counted.access, exchange, request) == 204
    assert exchange._notes is None  # nothing is said, and it costs nothing


def test_a13_what_a_rule_denies_is_denied_in_every_spelling_that_leads_there() -> None:
    counted = Counted(rule("path:/admin,/admin/*", name="kept out"))
    denied = passed = 0
    for variant in VARIANTS:
        try:
            exchange, request = asked(f"http://origin.example{variant}")
        except Failure:
            continue
        if counted.rules.first(exchange, request) is not None:
            denied += 1
            continue
        passed += 1
        seen = views(str(request.target))
        assert not any(map(is_admin, seen.values())), (variant, str(request.target), seen)
    assert denied > 200
    assert passed > 20  # not everything is kept out


def test_a13_what_a_rule_allows_is_allowed_only_where_every_spelling_is_meant() -> None:
    counted = Counted(rule("path:/public,/public/*", "allow"), rule())
    for path, allowed in (
        ("/public/x", True),
        ("/public/%41", True),
        ("/public/..%2fadmin", False),
        ("/public/..;/admin", False),
        ("/public/..%5cadmin", False),
        ("/admin;/../public/x", True),
        ("/public;x=y/z", False),
    ):
        decided = counted.rules.first(*asked(f"http://origin.example{path}"))
        assert decided is not None
        assert (decided.options.action == "allow") is allowed, path


def test_a30_the_spellings_of_a_long_path_take_time_in_proportion() -> None:
    def seconds(pieces: int) -> float:
        path = "/a/%2e%2e;x//%5c" * pieces
        began = time.process_time()
        for _ in range(20):
            assert len(spelled(path)) > 2
        return time.process_time() - began

    seconds(50)
    small, large = min(seconds(100) for _ in range(3)), min(seconds(400) for _ in range(3))
    assert large < small * 4 * 2.5
    assert large / 20 < 0.05  # of a target of 6 KiB, in seconds


@pytest.mark.parametrize(
    ("when", "kind", "status"),
    [
        ("host:db.internal port:5432", "tcp", 403),
        ("method:CONNECT -port:443", "tcp", 403),
        ("kind:udp", "udp", 403),
        ("kind:udp", "tcp", 0),
        ("path:/x", "tcp", 0),
        ('path:""', "tcp", 403),
        ("user:ann", "tcp", 403),
    ],
)
async def test_what_is_below_http_is_asked_about_as_a_tunnel(when: str, kind: str, status: int) -> None:
    counted = Counted(rule(when))
    exchange, _ = asked(user="ann")
    if not status:
        where = Authority("db.internal", 5432)
        assert await counted.access.admit(exchange, where, kind) == where
        return
    with pytest.raises(Failure) as caught:
        await counted.access.admit(exchange, Authority("db.internal", 5432), kind)
    assert (caught.value.status, exchange.notes["filter"]) == (status, "access")


async def test_a_limit_that_a_rule_names_holds_below_http_too() -> None:
    counted = Counted(rule("host:db.internal", "limit", limit="few"), rule())
    exchange, _ = asked()
    await counted.access.admit(exchange, Authority("db.internal", 5432), "tcp")
    assert exchange.named_limits == ("few",)


async def test_what_is_held_goes_on_as_it_was_approved_or_not_at_all() -> None:
    async def hold(exchange: Exchange, request: Request, reason: str) -> Ruling:
        assert reason == "look at it"
        if request.method == "CONNECT":
            request.target = request.target._replace(authority=Authority("other.example", 8443))
            return Ruling(Verdict.RELEASE, "ann")
        return Ruling(Verdict.ANSWER, "ann", answer=Response(418))

    counted = Counted(rule(action="hold", name="look at it"), hold=hold)
    assert await outcome(counted.access, *asked()) == 418
    exchange, _ = asked()
    assert await counted.access.admit(exchange, Authority("a.example", 443), "tcp") == ("other.example", 8443)


# --- asking somebody else --------------------------------------------------------------------------------------------


class Somebody:
    """Who is asked: answers are given by the test."""

    def __init__(self, **keys: Any) -> None:
        self.now = 100.0
        self.questions: list[Question] = []
        self.answer: Any = Decision(True)
        self.gate = asyncio.Event()
        self.gate.set()
        options = AskOptions(service="http://decide.example/", **{"timeout_s": 5.0, **keys})
        self.asker = Asker(options, self, lambda: self.now)
        self.counted = Counted(rule(action="ask", name="ask", ask=options), askers={1: self.asker})

    async def __call__(self, exchange: Exchange, request: Request, question: Question) -> Decision:
        self.questions.append(question)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def outcome(self, *args: Any, **about: Any) -> int:
        return await outcome(self.counted.access, *asked(*args, **about))


async def test_the_question_says_who_wants_what() -> None:
    somebody = Somebody(fields=("X-Department",))
    about = {"user": "ann", "groups": ("staff",), "fields": [("X-Department", "a"), ("Cookie", "secret")]}
    assert await somebody.outcome("http://a.example/x?y=1", "POST", **about) == 204
    assert somebody.questions == [
        Question(
            rule="ask",
            exchange="1-7",
            listener="proxy",
            client="10.0.0.5",
            user="ann",
            groups=["staff"],
            method="POST",
            url="http://a.example/x?y=1",
            fields={"x-department": "a"},
        )
    ]


async def test_an_answer_holds_for_its_time_and_for_the_same_question_only() -> None:
    somebody = Somebody(remember_by=("user", "host"), ttl_s=10.0)
    for url, user in (("http://a.example/1", "ann"), ("http://a.example/2", "ann"), ("http://a.example/", "bob")):
        assert await somebody.outcome(url, user=user) == 204
    assert len(somebody.questions) == 2
    somebody.now += 10.0
    somebody.answer = Decision(False, "No <i>more</i>.", ttl_s=1.0)
    assert await somebody.outcome("http://a.example/", user="ann") == 403
    somebody.now += 0.9
    assert await somebody.outcome("http://a.example/", user="ann") == 403
    assert len(somebody.questions) == 3
    somebody.now += 0.2
    assert await somebody.outcome("http://a.example/", user="ann") == 403
    assert len(somebody.questions) == 4


async def test_many_ask_once_and_who_leaves_spoils_nothing() -> None:
    somebody = Somebody()
    somebody.gate.clear()
    asking = [asyncio.create_task(somebody.outcome()) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking[0].cancel()
    somebody.gate.set()
    assert await asyncio.gather(*asking[1:]) == [204] * 19
    assert len(somebody.questions) == 1


@pytest.mark.parametrize(("on_failure", "status"), [("deny", 403), ("allow", 204)])
@pytest.mark.parametrize("failure", [ValueError("it answered 500"), Failure("connection_refused", "upstream"), None])  # type: ignore[arg-type]
async def test_without_an_answer_the_stated_one_holds_and_is_not_remembered(
    failure: Exception | None, on_failure: str, status: int
) -> None:
    somebody = Somebody(on_failure=on_failure, timeout_s=0.02 if failure is None else 5.0)
    if failure is None:
        somebody.gate.clear()
    else:
        somebody.answer = failure
    assert await somebody.outcome() == status
    assert await somebody.outcome() == status
    assert len(somebody.questions) == 2


async def test_what_is_remembered_is_bounded() -> None:
    somebody = Somebody(max_answers=3)
    for number in range(10):
        await somebody.outcome(f"http://h{number}.example/")
    assert len(somebody.asker._answers) == 3


async def test_the_trace_says_what_of_each_rule_did_not_match() -> None:
    counted = Counted(
        rule("host:*.games.example user:ann", "allow"),
        rule("from:10.0.0.0/8 -method:GET"),
        rule("port:80", dry_run=True),
        rule("time:sat-sun,18:00-08:00 port:>=1024", name="never"),
        rule("host:www.example", name="this one"),
        rule("*", "allow"),
    )
    trace = list(counted.rules.trace(*asked(user="bob")))
    assert [(one.rule.number, one.matched) for one in trace] == [
        (1, False),
        (2, False),
        (3, True),
        (4, False),
        (5, True),
    ]
    assert [(reason.part, reason.found) for reason in trace[0].reasons] == [
        ("host:*.games.example", "www.example"),
        ("user:ann", "bob"),
    ]
    assert [(reason.part, reason.found) for reason in trace[1].reasons] == [("-method:get", "GET")]
    said = [("time:sat-sun,18:00-08:00", "Mon 12:00"), ("port:>=1024", "80")]
    assert [(reason.part, reason.found) for reason in trace[3].reasons] == said
    assert counted.hits == [0] * 6

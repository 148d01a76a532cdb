"""The filter of experiments: what goes inbound, what comes back, what is noted."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest

from interpose.config.experiment_designs import design_of
from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.experiment.notes import HOLDOUT, Notes, decode_notes
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.query import compile_query, parse
from interpose.core.query.live import Live
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.experiment import notebook as notebook_module
from interpose.filters.experiment.choosing import Choosing
from interpose.filters.experiment.filter import Experiments
from interpose.filters.experiment.notebook import Notebook
from interpose.filters.experiment.options import Experiment, Factor, Goal, Level
from interpose.filters.experiment.trial import Trial, goal_rules
from interpose.protocol.content_coding import encoded

COOKIE = re.compile(r"interpose-unit=([A-Za-z0-9_-]{22}); Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax")
GREEN = Level(name="green", prefix="/v2/", upstream="beta", request_fields=("X-Theme: dark",),
              response_fields=("X-Seen: green",))  # fmt: skip
BUTTON = Factor(name="button", levels=(Level(name="blue"), GREEN))
LAYOUT = Factor(name="layout", levels=(Level(name="old"), Level(name="new")))
BOUGHT = Goal(name="order", when="method:POST path:/orders status:2xx")


class World:
    """A filter of one experiment before a server that `answers`, and the supervisor that it tells."""

    def __init__(
        self, *, exposes: bool = True, choosing: Choosing | None = None, more: tuple[Trial, ...] = (), **options: Any
    ) -> None:
        self.told: list[Notes] = []
        self.failing = False
        self.notebook = Notebook(self.ask)
        self.sent: list[Request] = []
        self.upstreams: list[str] = []
        self.exchange = Exchange(1, 0, "web", Address("192.0.2.1", 50000), 0.0)
        self.filter = Experiments(
            [self.trial(exposes=exposes, choosing=choosing, **options), *more], ["checkout"], asyncio.get_running_loop()
        )

    async def ask(self, topic: str, question: bytes) -> bytes:
        assert topic == "experiments.notes"
        if self.failing:
            raise Failure("proxy_internal_error", Side.INTERNAL, "The disk is full.")
        self.told += decode_notes(question)
        return b""

    def trial(self, *, exposes: bool, choosing: Choosing | None, **options: Any) -> Trial:
        table = Experiment(**{"name": "checkout", "factors": (BUTTON,), **options})
        design = design_of(table, (table,))
        shares = {variant.name: variant.share for variant in design.variants}
        page = self.notebook.page(table.name, design.salt, shares, table.max_units)
        goals = goal_rules(table, [compile_query(parse(goal.when)) if goal.when else None for goal in table.goals])
        audience = compile_query(parse(table.when)) if table.when else None
        return Trial(table, design, page, exposes=exposes, audience=audience, goals=goals, choosing=choosing)

    async def asks(
        self, path: str = "/cart", *fields: tuple[str, str], method: str = "GET", query: str | None = None,
        answer: Response | None = None, ended: float = 0.2, status: int | None = None, **exchange: Any,
    ) -> Response:  # fmt: skip
        """The answer to a request whose exchange then ends."""
        scheme = exchange.pop("scheme", "http")
        self.exchange = Exchange(1, 0, "web", Address("192.0.2.1", 50000), 0.0, scheme)
        for name, value in exchange.items():
            setattr(self.exchange, name, value)
        request = Request(method, Target(Form.ORIGIN, scheme, Authority("shop.example"), path, query), Fields(fields))

        async def server(exchange: Exchange, request: Request) -> Response:
            self.sent.append(request)
            self.upstreams.append(exchange.upstream)
            return answer or Response(200, Fields([("X-Total", "12.50"), ("X-Seen", "nobody")]), Body(b"ok"))

        response = await self.filter(self.exchange, request, server)
        async for _ in response.body:
            pass
        self.exchange.finish(Outcome(status or response.status, 2, None, ended))
        return response

    async def noted(self) -> dict[str, Any]:
        """All that the supervisor was told: units by variant, events, exchanges by variant."""
        await self.notebook.close()
        exposures: dict[str, set[bytes]] = {}
        for notes in self.told:
            for unit, name, _ in notes.exposures:
                exposures.setdefault(name, set()).add(unit)
        requests: dict[str, int] = {}
        for notes in self.told:
            for name, counted in notes.requests.items():
                requests[name] = requests.get(name, 0) + counted.count
        events = [(event.goal, event.kind, event.value) for notes in self.told for event in notes.events]
        return {
            "units": {name: len(units) for name, units in exposures.items()},
            "requests": requests,
            "events": events,
        }


def cookie_of(response: Response) -> str:
    match = COOKIE.fullmatch(response.fields["Set-Cookie"])
    assert match is not None
    return match[1]


async def units_of(world: World, variant: str, count: int = 1) -> list[tuple[str, str]]:
    """Cookies of clients that get a variant."""
    found: list[tuple[str, str]] = []
    while len(found) < count:
        cookie = cookie_of(await world.asks())
        if world.sent[-1].fields.get("Experiment-checkout") == f"button={variant}":
            found.append(("Cookie", f"a=b; interpose-unit={cookie}"))
    return found


async def test_a_client_is_given_a_cookie_and_then_the_same_variant_each_time() -> None:
    world = World()
    first = await world.asks()
    unit, told = cookie_of(first), world.sent[-1].fields["Experiment-checkout"]
    assert first.fields.get_all("Cache-Control") == ["private"]
    for _ in range(3):
        again = await world.asks("/cart", ("Cookie", f"a=b; interpose-unit={unit}"))
        assert "Set-Cookie" not in again.fields
        assert "Cache-Control" not in again.fields
        assert again.fields["Vary"] == "Cookie"
        assert world.sent[-1].fields["Experiment-checkout"] == told
    assert await world.noted() == {"units": {told: 1}, "requests": {told: 4}, "events": []}


async def test_a_cookie_over_tls_is_secure() -> None:
    response = await World().asks(scheme="https")
    assert response.fields["Set-Cookie"].endswith("; Secure")


@pytest.mark.parametrize("value", ["", "short", "x" * 23, "A" * 21 + "=", "A" * 21 + "\u00e9"])
async def test_a_cookie_that_was_not_made_here_is_replaced(value: str) -> None:
    world = World()
    cookie_of(await world.asks("/cart", ("Cookie", f"interpose-unit={value}")))


async def test_a11_what_a_client_says_of_its_variant_does_not_go_on() -> None:
    world = World(exposes=False)
    await world.asks("/cart", ("experiment-CHECKOUT", "button=green"), ("Experiment-Other", "x"), ("X", "y"))
    assert list(world.sent[-1].fields) == [("Experiment-Other", "x"), ("X", "y")]


async def test_a_level_may_set_fields_put_a_prefix_before_the_path_and_choose_an_upstream() -> None:
    world = World()
    (green,), (blue,) = await units_of(world, "green"), await units_of(world, "blue")
    response = await world.asks("/cart", green, ("X-Theme", "light"), ("x-theme", "blue"))
    sent = world.sent[-1]
    assert sent.target.path == "/v2/cart"
    assert sent.fields.get_all("X-Theme") == ["dark"]
    assert response.fields.get_all("X-Seen") == ["green"]
    assert world.upstreams[-1] == "beta"
    assert world.exchange.representation == (("experiment-checkout", "button=green"),)
    response = await world.asks("/cart", blue)
    assert (world.sent[-1].target.path, response.fields["X-Seen"], world.upstreams[-1]) == ("/cart", "nobody", "")
    assert world.exchange.representation == (("experiment-checkout", "button=blue"),)


async def test_the_variant_is_in_the_notes_and_known_to_queries() -> None:
    world = World(factors=(BUTTON, LAYOUT))
    await world.asks()
    told = dict(pair.split("=") for pair in world.sent[-1].fields["Experiment-checkout"].split(", "))
    assert {name: world.exchange.notes[f"variant.{name}"] for name in ("button", "layout")} == told
    subject = Live(world.exchange, world.sent[-1])
    assert compile_query(parse(f"variant.button:{told['button']}")).matches(subject)
    assert compile_query(parse("-variant.button:red -variant.other:*")).matches(subject)


async def test_where_nothing_depends_on_it_a_cache_need_not_tell_variants_apart() -> None:
    plain = Factor(name="button", levels=(Level(name="blue"), Level(name="green", response_fields=("X-Seen: g",))))
    world = World(factors=(plain,), tell_upstream=False)
    await world.asks()
    assert world.exchange.representation == ()
    assert "Experiment-checkout" not in world.sent[-1].fields


async def test_a_path_that_only_looks_the_same_depends_on_the_cookie_too() -> None:
    moved = Factor(name="button", levels=(Level(name="blue"), Level(name="green", prefix="/v2")))
    response = await World(factors=(moved,), tell_upstream=False).asks()
    assert response.fields["Vary"] == "Cookie"


async def test_who_is_not_meant_gets_no_cookie_and_no_variant() -> None:
    world = World(when="-request.user-agent:*bot*")
    response = await world.asks("/cart", ("User-Agent", "a bot"))
    assert "Set-Cookie" not in response.fields
    assert response.fields["Vary"] == "Cookie"
    assert world.exchange.notes == {}
    assert (await world.noted())["units"] == {}


async def test_who_takes_no_part_gets_a_cookie_and_the_holdout_is_noted() -> None:
    world = World(share=0.0, holdout=0.5)
    for _ in range(60):
        cookie_of(await world.asks())
        assert "Experiment-checkout" not in world.sent[-1].fields
    noted = await world.noted()
    assert set(noted["units"]) == {HOLDOUT}
    assert 15 < noted["units"][HOLDOUT] < 45


async def test_users_and_addresses_are_units_too() -> None:
    users = World(unit="user")
    await users.asks()
    assert "Experiment-checkout" not in users.sent[-1].fields
    for name in ("alice", "alice", "bob"):
        response = await users.asks(user=name)
    assert "Set-Cookie" not in response.fields
    assert response.fields["Cache-Control"] == "private"
    assert sum((await users.noted())["units"].values()) == 2
    clients = World(unit="client")
    for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        await clients.asks(client=Address(host, 4000))
    assert sum((await clients.noted())["units"].values()) == 2


async def test_what_is_promoted_is_for_everybody_and_counted_of_nobody() -> None:
    world = World(promoted="button=green", goals=(BOUGHT,))
    response = await world.asks()
    assert world.sent[-1].target.path == "/v2/cart"
    assert set(response.fields) == {("X-Total", "12.50"), ("X-Seen", "green")}
    await world.asks("/orders", method="POST")
    assert await world.noted() == {"units": {}, "requests": {}, "events": []}


async def test_of_what_is_promoted_the_holdout_is_still_kept_out() -> None:
    world = World(promoted="button=green", holdout=0.5)
    seen = set()
    for _ in range(40):
        cookie_of(await world.asks())
        seen.add(world.sent[-1].target.path)
    assert seen == {"/cart", "/v2/cart"}
    assert (await world.noted())["units"] == {}


async def test_a_replay_is_no_client() -> None:
    world = World()
    world.exchange.notes["replay_of"] = "7"
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/cart"), Fields())

    async def server(exchange: Exchange, request: Request) -> Response:
        return Response(200)

    response = await world.filter(world.exchange, request, server)
    assert "Set-Cookie" not in response.fields
    assert (await world.noted())["units"] == {}


# --- goals -----------------------------------------------------------------------------------------------------------


async def test_a_goal_is_noted_with_the_unit_that_came_to_it_whatever_became_of_its_path() -> None:
    world = World(goals=(BOUGHT,))
    (green,) = await units_of(world, "green")
    await world.asks("/orders", green)
    await world.asks("/orders", green, method="POST", answer=Response(500))
    assert (await world.noted())["events"] == []
    await world.asks("/orders", green, method="POST")
    assert world.sent[-1].target.path == "/v2/orders"
    assert (await world.noted())["events"] == [("order", "conversion", 1.0)]


async def test_goals_are_come_to_on_routes_without_the_experiment_too() -> None:
    world = World(goals=(BOUGHT,))
    (green,) = await units_of(world, "green")
    elsewhere = World(exposes=False, goals=(BOUGHT,))
    response = await elsewhere.asks("/orders", green, method="POST")
    assert elsewhere.sent[-1].target.path == "/orders"
    assert "Vary" not in response.fields
    assert await elsewhere.noted() == {"units": {}, "requests": {}, "events": [("order", "conversion", 1.0)]}
    await elsewhere.asks("/orders", green, method="POST")
    again = (await elsewhere.noted())["events"]
    assert len(again) == 2, "it did not show it, and cannot know whether the first one counts"
    stranger = await elsewhere.asks("/orders", method="POST")
    assert "Set-Cookie" not in stranger.fields


def json_answer(data: object, coding: str = "") -> Response:
    fields = Fields([("Content-Encoding", coding)] if coding else [])
    return Response(200, fields, Body(encoded(msgspec.json.encode(data), coding)))


@pytest.mark.parametrize(
    ("value", "answer", "found"),
    [
        ("field:x-total", None, [12.5]),
        ("field:x-none", None, []),
        ("field:x-seen", None, []),
        ("took", None, [0.25]),
        ("json:/cart/1/total", json_answer({"cart": [{}, {"total": 7}]}), [7.0]),
        ("json:/cart/1/total", json_answer({"cart": [{}, {"total": "7.25"}]}, "gzip"), [7.25]),
        ("json:/a~1b/m~0n", json_answer({"a/b": {"m~n": -1}}, "br"), [-1.0]),
        ("json:", json_answer(3), [3.0]),
        ("json:/total", json_answer({"total": True}), []),
        ("json:/total", json_answer({"total": "0x10"}), []),
        ("json:/total/x", json_answer({"total": 1}), []),
        ("json:/total", json_answer({"total": 1, "more": "x" * 1000}), []),
        ("json:/total", Response(200, Fields(), Body(b"[" * 900)), []),
        ("json:/total", Response(200, Fields([("Content-Encoding", "gzip")]), Body(b"no gzip")), []),
        ("json:/total", Response(200, Fields(), Body(b'{"total": 1e400}')), []),
    ],
)  # fmt: skip
async def test_values_are_where_they_are_said_to_be(value: str, answer: Response | None, found: list[float]) -> None:
    world = World(goals=(Goal(name="spent", kind="sum", when="path:/cart", value=value, max_json_bytes=1000),))
    if answer is not None:
        data = answer.body.take()
        answer = Response(200, answer.fields, Body(data))
    await world.asks(answer=answer, ended=0.25)
    assert [event[2] for event in (await world.noted())["events"]] == found


async def test_goals_are_posted_to_the_path_that_is_for_that() -> None:
    world = World(goals=(Goal(name="signup"), BOUGHT), post_path="/.events")
    (green,) = await units_of(world, "green")

    async def post(data: bytes, *fields: tuple[str, str]) -> int:
        request = Request("POST", Target(Form.ORIGIN, "http", Authority("a"), "/.events"), Fields(fields), Body(data))

        async def nobody(exchange: Exchange, request: Request) -> Response:
            raise AssertionError("it is answered here")

        return (await world.filter(world.exchange, request, nobody)).status

    assert await post(b'{"goal": "signup"}', green) == 204
    assert await post(b'{"goal": "signup"}') == 204  # of nobody
    assert await post(b'{"goal": "order"}', green) == 204  # not for posting
    assert await post(b'{"goal": 1}', green) == 422
    assert await post(b"[" * 3000, green) == 422
    with pytest.raises(Failure):
        await post(b" " * 5000, green)
    assert (await world.noted())["events"] == [("signup", "conversion", 1.0)]


# --- testers ---------------------------------------------------------------------------------------------------------

SECRET = "long-enough-secret"


@pytest.mark.parametrize(
    ("host", "text", "gets"),
    [
        ("10.1.2.3", "button=green", "green"),
        ("10.1.2.3", "button=blue", "blue"),
        ("10.1.2.3", f"{SECRET}:button=green", "green"),
        ("10.1.2.3", "button=red", None),
        ("192.0.2.1", "button=green", None),
        ("192.0.2.1", f"{SECRET}:button=green", "green"),
        ("192.0.2.1", f"{SECRET}x:button=green", None),
        ("192.0.2.1", ":button=green", None),
    ],
)
@pytest.mark.parametrize("way", ["field", "cookie", "parameter"])
async def test_testers_choose_and_others_do_not(host: str, text: str, gets: str | None, way: str) -> None:
    world = World(share=0.0, choosing=Choosing("checkout", ("10.0.0.0/8",), SECRET.encode()))
    fields = {"field": [("Experiment-Checkout", text)], "cookie": [("Cookie", f"experiment-checkout={text}")]}
    query = f"a=1&experiment-checkout={text}&b=2" if way == "parameter" else None
    response = await world.asks("/cart", *fields.get(way, []), query=query, client=Address(host, 4000))
    sent = world.sent[-1]
    assert sent.fields.get("Experiment-checkout") == (f"button={gets}" if gets else None)
    assert sent.target.query == ("a=1&b=2" if way == "parameter" else None)
    assert await world.noted() == {"units": {}, "requests": {}, "events": []}
    cookies = [line for line in response.fields.get_all("Set-Cookie") if line.startswith("experiment-")]
    if gets and way == "parameter":
        secret = f"{SECRET}:" if SECRET in text else ""
        assert cookies == [f"experiment-checkout={secret}button={gets}; Path=/; HttpOnly; SameSite=Lax"]
        assert "private" in response.fields["Cache-Control"]
    elif gets:
        assert cookies == []


async def test_a_tester_who_wants_no_more_to_choose_is_like_others_again() -> None:
    world = World(choosing=Choosing("checkout", ("10.0.0.0/8",), b""))
    response = await world.asks(query="experiment-checkout=off", client=Address("10.0.0.1", 1))
    ended, made = response.fields.get_all("Set-Cookie")
    assert ended == "experiment-checkout=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert COOKIE.fullmatch(made)


async def test_without_testers_nobody_chooses() -> None:
    world = World(share=0.0)
    await world.asks("/cart", ("Experiment-Checkout", ":button=green"), query="experiment-checkout=button=green")
    assert "Experiment-checkout" not in world.sent[-1].fields
    assert world.sent[-1].target.query == "experiment-checkout=button=green"


# --- on the way to the books -----------------------------------------------------------------------------------------


async def test_f6_what_cannot_be_written_is_kept_and_sent_again_once() -> None:
    world = World(goals=(BOUGHT,))
    (green,) = await units_of(world, "green")
    world.failing = True
    await world.asks("/orders", green, method="POST")
    await world.notebook.close()
    assert world.told == []
    world.failing = False
    noted = await world.noted()
    assert noted["events"] == [("order", "conversion", 1.0)]
    assert sum(len(notes.exposures) for notes in world.told) == sum(noted["units"].values())
    assert sum(noted["requests"].values()) == len(world.sent)


async def test_units_are_sent_once_and_before_what_they_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_module, "BATCH", 3)
    world = World(goals=(BOUGHT,))
    for cookie in await units_of(world, "green", 4):
        await world.asks("/orders", cookie, method="POST")
        await world.asks("/orders", cookie, method="POST")
    noted = await world.noted()
    assert noted["events"] == [("order", "conversion", 1.0)] * 4
    known: set[bytes] = set()
    for notes in world.told:
        assert len(notes.exposures) <= 3
        assert not known & {unit for unit, _, _ in notes.exposures}
        known |= {unit for unit, _, _ in notes.exposures}
        assert {event.unit for event in notes.events} <= known


async def test_what_began_before_a_change_is_noted_as_it_was() -> None:
    world = World()
    (green,) = await units_of(world, "green")
    red = Factor(name="button", levels=(Level(name="red"), Level(name="pink")))
    world.trial(exposes=True, choosing=None, factors=(red,))  # a reload has made a chain that does not serve yet
    await world.asks("/cart", green)
    noted = await world.noted()
    assert set(noted["units"]) <= {"button=blue", "button=green"}
    assert set(noted["requests"]) <= {"button=blue", "button=green"}


async def test_notes_that_nobody_takes_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_module, "MOST_WAITING", 10)
    world = World()
    world.failing = True
    for _ in range(25):
        await world.asks()
    assert world.notebook.dropped == 15
    world.failing = False
    assert sum((await world.noted())["units"].values()) == 10


async def test_errors_and_times_are_those_of_the_variant() -> None:
    world = World()
    (green,) = await units_of(world, "green")
    await world.asks("/cart", green, ended=7.0, answer=Response(503))
    world.exchange = Exchange(2, 0, "web", Address("192.0.2.1", 50000), 0.0)
    with pytest.raises(Failure):
        await world.filter(world.exchange, *_failing(green))
    world.exchange.finish(Outcome(0, 0, Failure("connection_terminated", Side.DOWNSTREAM, "gone"), 1.0))
    await world.notebook.close()
    counted = [notes.requests["button=green"] for notes in world.told if "button=green" in notes.requests]
    assert sum(one.errors for one in counted) == 1  # that a client leaves is nobody's error
    assert sum(one.count for one in counted) == 3
    assert sum(one.times[12] for one in counted) == 1


def _failing(cookie: tuple[str, str]) -> tuple[Request, Any]:
    async def server(exchange: Exchange, request: Request) -> Response:
        raise Failure("connection_refused", Side.UPSTREAM, "no")

    return Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields([cookie])), server

"""Random requests, answers, steps of the clock, changes and purges, through a cache and through its model at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.cache_model import (
    LANGUAGES,
    PATHS,
    SAYINGS,
    WISHES,
    Ask,
    Gone,
    Got,
    Model,
    Origin,
    Seen,
)

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response

PATH = st.sampled_from(PATHS)
MEANT = {saying.words: saying for saying in SAYINGS}
WISHED = {wish.words: wish for wish in WISHES}
WORDS = st.sampled_from([saying.words for saying in SAYINGS])
WISH = st.sampled_from([wish.words for wish in WISHES])


class CacheMachine(RuleBasedStateMachine):
    """`site` makes what `tests.unit.filters.test_cache.Site` is; `loop` makes its event loop."""

    site: Callable[[], Any]
    loop: Callable[[], asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=type(self).loop)
        self.seen: list[Seen] = []

    @initialize()
    def begin(self) -> None:
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        self.real = type(self).site()
        self.real.answer = self._answer
        self.origin = Origin()
        self.model = Model(self.origin, self.real.now)

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.runner.run(self.real.keeper.close())
        self.runner.close()

    # --- the origin ------------------------------------------------------------------------------------------------

    async def _answer(self, exchange: Exchange, request: Request) -> Response:
        fields = request.fields
        seen = Seen(request.method, fields.get("If-None-Match", ""), fields.get("If-Modified-Since", ""))
        self.seen.append(seen)
        try:
            said = self.origin.answer(request.target.path, fields.get("Accept-Language", ""), seen)
        except Gone:
            raise Failure("connection_refused", Side.UPSTREAM, "Nobody is there.") from None
        named = {
            "Cache-Control": said.saying.words if said.saying else "",
            "ETag": said.etag,
            "Last-Modified": said.modified,
            "Vary": "Accept-Language" if said.language else "",
            "Set-Cookie": "s=1" if said.sets_cookie else "",
            "Age": str(said.age) if said.age else "",
            "Location": said.location,
            "Surrogate-Key": f"all {request.target.path[1:]}",
        }
        response = Response(
            said.status,
            Fields([(name, value) for name, value in named.items() if value]),
            EMPTY if request.method == "HEAD" else Body(said.text.encode()),
        )
        if request.method == "HEAD":
            response.declared_length = len(said.text)
        return response

    @rule(path=PATH, saying=WORDS, has_etag=st.booleans(), age=st.sampled_from([0, 0, 0, 4, 25]))
    def say_otherwise(self, path: str, saying: str, has_etag: bool, age: int) -> None:
        resource = self.origin.resources[path]
        resource.saying, resource.has_etag, resource.age = MEANT[saying], has_etag, age

    @rule(
        path=PATH,
        varies=st.booleans(),
        has_date=st.booleans(),
        sets_cookie=st.sampled_from([False, False, True]),
        status=st.sampled_from([200, 200, 404]),
    )
    def change(self, path: str, varies: bool, has_date: bool, sets_cookie: bool, status: int) -> None:
        resource = self.origin.resources[path]
        resource.version += 1
        resource.varies, resource.has_date, resource.sets_cookie = varies, has_date, sets_cookie
        resource.status = status

    @rule(how=st.sampled_from(["well", "well", "gone", "broken"]))
    def be(self, how: str) -> None:
        self.origin.is_gone, self.origin.is_broken = how == "gone", how == "broken"

    # --- everybody else --------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 4, 6, 9, 11, 19, 31, 60, -3]))
    def wait(self, seconds: int) -> None:
        self._wait(seconds)

    def _wait(self, seconds: int) -> None:
        self.real.now += seconds
        self.model.now += seconds

    @rule(
        path=PATH,
        saying=WORDS,
        later=WORDS,
        has_etag=st.booleans(),
        seconds=st.sampled_from([4, 9, 11, 21, 31, 45, 61, 71, 91]),
        how=st.sampled_from(["well", "gone", "broken"]),
        wish=WISH,
        method=st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    )
    def come_back(
        self, path: str, saying: str, later: str, has_etag: bool, seconds: int, how: str, wish: str, method: str
    ) -> None:
        """What is most of a cache's life: something is stored, grows old, and is wanted again, from an origin that may
        have changed its mind."""
        self.be("well")
        self.say_otherwise(path, saying, has_etag, 0)
        self._ask(Ask(path))
        self._wait(seconds)
        self.be(how)
        self.say_otherwise(path, later, has_etag, 0)
        self._ask(Ask(path, method, wish=WISHED[wish]))
        self._ask(Ask(path))
        self.be("well")

    @rule(path=PATH, language=st.sampled_from(LANGUAGES), wish=WISH)
    def get(self, path: str, language: str, wish: str) -> None:
        self._ask(Ask(path, "GET", language, WISHED[wish]))

    @rule(path=PATH, language=st.sampled_from(LANGUAGES))
    def get_twice(self, path: str, language: str) -> None:
        for _ in range(2):
            self._ask(Ask(path, "GET", language))

    @rule(
        path=PATH,
        language=st.sampled_from(LANGUAGES),
        wish=WISH,
        method=st.sampled_from(["GET", "GET", "HEAD"]),
        knows=st.sampled_from(["", "this", "another"]),
        wants_part=st.booleans(),
        is_authorized=st.booleans(),
    )
    def get_somehow(
        self, path: str, language: str, wish: str, method: str, knows: str, wants_part: bool, is_authorized: bool
    ) -> None:
        resource = self.origin.resources[path]
        version = resource.version - (knows == "another")
        etag = f'"{path}-{version}-{language if resource.varies else None}-{resource.status}"' if knows else ""
        self._ask(Ask(path, method, language, WISHED[wish], etag, wants_part and method == "GET", is_authorized))

    @rule(path=PATH, method=st.sampled_from(["POST", "PUT", "DELETE", "OPTIONS"]))
    def do(self, path: str, method: str) -> None:
        self._ask(Ask(path, method))
        if method != "OPTIONS":
            self.origin.change(path)

    @rule(
        path=PATH, how=st.sampled_from(["http://a{}", "tag:{}", "http://a/*", "host:a", "tag:all"]), soft=st.booleans()
    )
    def purge(self, path: str, how: str, soft: bool) -> None:
        paths = [path] if "{}" in how else list(PATHS)
        pattern = how.format(path[1:] if how.startswith("tag:") else path)
        met = self.runner.run(self.real.keeper.purge(pattern, soft=soft))
        assert met == self.model.purge(paths, is_soft=soft)

    def _ask(self, ask: Ask) -> None:
        expected = self.model.get(ask)
        self.seen.clear()
        got, head = self.runner.run(self._got(ask))
        note(f"{ask}\n    {head!r}")
        assert got == expected

    async def _got(self, ask: Ask) -> tuple[Got, bytes]:
        named = {
            "Accept-Language": ask.language,
            "Cache-Control": ask.wish.words,
            "If-None-Match": ask.etag,
            "Range": "bytes=2-4" if ask.wants_part else "",
            "Authorization": "Basic eDp5" if ask.is_authorized else "",
        }
        fields = [f"{name}: {value}" for name, value in named.items() if value]
        client = await self.real.get(ask.path, *fields, method=ask.method)
        await self.real.when(lambda: not self.real.keeper.running)
        lines = client.head.split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        told = dict(line.split(b": ", 1) for line in lines[1:])
        is_hit = b"; hit" in told.get(b"Cache-Status", b"")
        text = "" if status in (502, 504) else client.text.decode()
        return Got(status, text, tuple(self.seen), int(told[b"Age"]) if is_hit else None), client.head

    @invariant()
    def as_much_is_stored_as_the_model_has(self) -> None:
        if hasattr(self, "real"):
            kept = sum(len(stored) for stored in self.model.kept.values())
            assert self.real.keeper.store.counters()["objects"] == kept

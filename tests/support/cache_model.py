"""Random requests through a cache, and a small model of what it may answer.

The model knows no HTTP. It keeps what the origin has said, and judges each answer by two questions: might a cache say
this now (it is what the origin says, or what it said no longer ago than it allowed, and nothing has made it wrong
since), and was the origin asked where it need not have been?
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response

PATHS = ("/a", "/b", "/c")
LANGUAGES = ("de", "fr")
UNREACHABLE_S = 60
ASKED = ("", "", "", "no-cache", "max-age=0", "only-if-cached", "max-stale=20")


@dataclass(frozen=True)
class Saying:
    """What an origin says about the time of its answers."""

    control: str
    fresh_s: int = 0
    errors_s: int = 0
    background_s: int = 0
    is_kept: bool = True


SAYINGS = (
    Saying("max-age=30", 30),
    Saying("max-age=30", 30),
    Saying("max-age=10, stale-if-error=50", 10, 50),
    Saying("max-age=10, stale-while-revalidate=40", 10, 0, 40),
    Saying("max-age=0"),
    Saying("no-cache", 0),
    Saying("no-store", is_kept=False),
    Saying("private, max-age=30", is_kept=False),
    Saying(""),
)


@dataclass
class Resource:
    """One resource of the origin, as it is now."""

    version: int = 1
    saying: Saying = SAYINGS[0]
    varies: bool = False
    has_etag: bool = True


@dataclass(eq=False)
class Said:
    """One answer that the origin gave; `at` is when it said, or confirmed, it last."""

    content: str
    language: str | None
    at: float
    saying: Saying
    is_wrong: bool = False
    is_soft: bool = False


@dataclass
class Model:
    """An origin and what a cache may know of it. `site` is what `tests.unit.filters.test_cache.Site` is."""

    site: Any
    resources: dict[str, Resource] = field(default_factory=lambda: {path: Resource() for path in PATHS})
    said: dict[str, list[Said]] = field(default_factory=lambda: {path: [] for path in PATHS})
    fails: bool = False

    def __post_init__(self) -> None:
        self.site.answer = self.answer

    async def answer(self, exchange: Exchange, request: Request) -> Response:
        """(origin) What it says."""
        if self.fails:
            raise Failure("connection_refused", Side.UPSTREAM, "Nobody is there.")
        path = request.target.path
        resource = self.resources[path]
        if request.method == "POST":
            resource.version += 1
            return Response(204)
        language = request.fields.get("accept-language", "") if resource.varies else None
        content = f"{path} {resource.version} {language}"
        etag = f'"{content}"'
        fields = Fields([("Cache-Control", resource.saying.control)] if resource.saying.control else [])
        if resource.has_etag:
            fields.add("ETag", etag)
        if resource.varies:
            fields.add("Vary", "Accept-Language")
        await asyncio.sleep(0)
        self.said[path].append(Said(content, language, self.site.now, resource.saying))
        if resource.has_etag and etag in request.fields.get_all("If-None-Match"):
            return Response(304, fields)
        return Response(200, fields, Body(content.encode()))

    # --- what happens ----------------------------------------------------------------------------------------------

    async def get(self, path: str, language: str, control: str) -> None:
        """A client asks, and what it gets is judged."""
        site, before = self.site, len(self.site.asked)
        known = list(self.said[path])
        fields = [f"Accept-Language: {language}", *([f"Cache-Control: {control}"] if control else [])]
        client = await site.get(path, *fields)
        await site.when(lambda: not site.keeper.running)
        status, text = int(client.head.split(b" ")[1]), client.text.decode()
        asked = len(site.asked) - before
        if status == 504 and control == "only-if-cached":
            assert not asked
            return
        if status == 502:
            assert self.fails
            return
        assert status == 200, client.head
        newest = [one for one in self.said[path] if one.content == text and one.language in (None, language)]
        assert newest, (text, "was never said to such a client")
        if any(one not in known for one in newest):
            return  # the origin has just said so
        assert any(self._may_be_used(one, control) for one in newest), (text, control, newest, site.now)
        assert not (asked and control in ("", "only-if-cached") and not self.fails and self._is_fresh(newest[-1]))

    def _is_fresh(self, one: Said) -> bool:
        return not one.is_wrong and not one.is_soft and self.site.now - one.at < one.saying.fresh_s

    def _may_be_used(self, one: Said, control: str) -> bool:
        if one.is_wrong or not one.saying.is_kept:
            return False
        age = self.site.now - one.at
        if self._is_fresh(one) and control not in ("no-cache", "max-age=0"):
            return True
        allowed = one.saying.background_s if control in ("", "only-if-cached", "max-stale=20") else 0
        if control == "max-stale=20":
            allowed = max(allowed, 20)
        if self.fails:
            allowed = max(allowed, one.saying.errors_s, UNREACHABLE_S if control != "no-cache" else 0)
            if one.is_soft and control != "no-cache":
                return age < one.saying.fresh_s + allowed
        return age <= one.saying.fresh_s + allowed and (age > one.saying.fresh_s or control != "no-cache")

    async def check_fresh(self, path: str, language: str) -> None:
        """What was fetched and is fresh is served without the origin."""
        await self.get(path, language, "")
        last = self.said[path][-1] if self.said[path] else None
        if last is None or not last.saying.is_kept or last.language not in (None, language):
            return
        if self._is_fresh(last) and not self.fails and last.content.startswith(path):
            before = len(self.site.asked)
            await self.get(path, language, "")
            assert len(self.site.asked) == before

    async def post(self, path: str) -> None:
        """Somebody changes a resource through the cache: unless the origin fails, what was said is wrong."""
        await self.site.get(path, method="POST")
        if not self.fails:
            self._all_wrong(path)

    async def purge(self, path: str, soft: bool) -> None:
        """Somebody purges."""
        await self.site.keeper.purge(f"http://a{path}", soft=soft)
        for one in self.said[path]:
            if soft:
                one.is_soft = True
            else:
                one.is_wrong = True

    def _all_wrong(self, path: str) -> None:
        for one in self.said[path]:
            one.is_wrong = True

    async def step(self, chance: random.Random) -> None:
        """Something happens."""
        path, language = chance.choice(PATHS), chance.choice(LANGUAGES)
        doing = chance.random()
        if doing < 0.5:
            await self.get(path, language, chance.choice(ASKED))
        elif doing < 0.6:
            await self.check_fresh(path, language)
        elif doing < 0.7:
            self.site.now += chance.choice((1, 5, 9, 11, 25, 60))
        elif doing < 0.75:
            await self.post(path)
        elif doing < 0.8:
            await self.purge(path, chance.random() < 0.5)
        elif doing < 0.87:
            self.fails = not self.fails
        elif doing < 0.93:
            self.resources[path].version += 1
        else:
            resource = self.resources[path]
            resource.saying = chance.choice(SAYINGS)
            resource.varies = chance.random() < 0.5
            resource.has_etag = chance.random() < 0.7


async def walk(make_site: Callable[[], Any], seed: int, steps: int) -> None:
    """So many things happen, by the chance of `seed`."""
    site = make_site()
    model, chance = Model(site), random.Random(seed)
    try:
        for _ in range(steps):
            await model.step(chance)
    finally:
        await site.keeper.close()

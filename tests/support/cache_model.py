"""A model of a shared cache before one origin: what each request gets of it, and what the origin is asked meanwhile.

It is written from the RFCs and `docs/caching.md`, and shares no code with the product: what the origin says is a table
of words and their meanings, so nothing is parsed; there are no bytes, no tasks and no stores. It is exact. Requests
come one after another, and the cache has room for everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from email.utils import formatdate

PATHS = ("/a", "/b")
LANGUAGES = ("de", "fr")
UNREACHABLE_S = 60
ALONE_S = 10


@dataclass(frozen=True)
class Saying:
    """What an origin says of its answers, in words and in meaning."""

    words: str
    fresh_s: int = 0
    is_explicit: bool = True
    may_be_kept: bool = True
    is_validated_always: bool = False
    is_never_stale: bool = False
    is_for_authorized: bool = False
    background_s: int = 0
    errors_s: int = 0
    is_immutable: bool = False

    def __repr__(self) -> str:
        return repr(self.words)


SAYINGS = (
    Saying("max-age=30", 30),
    Saying("max-age=30", 30),
    Saying("max-age=10, stale-if-error=50", 10, errors_s=50),
    Saying("max-age=10, stale-if-error=90", 10, errors_s=90),
    Saying("max-age=10, stale-while-revalidate=40", 10, background_s=40),
    Saying("max-age=10, must-revalidate, stale-if-error=90", 10, is_never_stale=True, is_for_authorized=True),
    Saying("max-age=5, s-maxage=20", 20, is_never_stale=True, is_for_authorized=True),
    Saying("public, max-age=30", 30, is_for_authorized=True),
    Saying("max-age=30, immutable", 30, is_immutable=True),
    Saying("max-age=0"),
    Saying("no-cache, max-age=30", 30, is_validated_always=True),
    Saying("no-store", is_explicit=False, may_be_kept=False),
    Saying("private, max-age=30", 30, may_be_kept=False),
    Saying("", is_explicit=False),
)


@dataclass(frozen=True)
class Wish:
    """What a request says in Cache-Control."""

    words: str = ""
    wants_validation: bool = False
    youngest_s: int | None = None
    left_s: int | None = None
    stale_s: int = -1
    errors_s: int = 0
    only_stored: bool = False
    is_not_kept: bool = False

    def __repr__(self) -> str:
        return repr(self.words)


WISHES = (
    Wish(),
    Wish(),
    Wish(),
    Wish("no-cache", wants_validation=True),
    Wish("max-age=0", youngest_s=0),
    Wish("max-age=7", youngest_s=7),
    Wish("max-age=7, stale-if-error=70", youngest_s=7, errors_s=70),
    Wish("min-fresh=15", left_s=15),
    Wish("max-stale=20", stale_s=20),
    Wish("max-stale", stale_s=1 << 31),
    Wish("only-if-cached", only_stored=True),
    Wish("no-store", is_not_kept=True),
)


@dataclass(frozen=True)
class Ask:
    """A request of a client."""

    path: str
    method: str = "GET"
    language: str = "de"
    wish: Wish = WISHES[0]
    etag: str = ""
    """What it has, in If-None-Match."""
    wants_part: bool = False
    is_authorized: bool = False


@dataclass
class Resource:
    """One resource of the origin, as it is now. `age` is what it says in Age."""

    version: int = 1
    saying: Saying = SAYINGS[0]
    varies: bool = False
    has_etag: bool = True
    has_date: bool = False
    sets_cookie: bool = False
    status: int = 200
    age: int = 0


@dataclass(frozen=True)
class Said:
    """An answer. `saying` is None when it has no Cache-Control."""

    status: int
    text: str = ""
    saying: Saying | None = None
    language: str | None = None
    etag: str = ""
    modified: str = ""
    sets_cookie: bool = False
    age: int = 0
    location: str = ""


@dataclass(frozen=True)
class Seen:
    """What the origin is asked. `etag` and `modified` are conditions."""

    method: str
    etag: str = ""
    modified: str = ""


class Gone(Exception):
    """The origin does not answer at all."""


@dataclass
class Origin:
    """What has answers. `is_gone` and `is_broken` (503) hold until they are changed."""

    resources: dict[str, Resource] = field(default_factory=lambda: {path: Resource() for path in PATHS})
    is_gone: bool = False
    is_broken: bool = False

    def answer(self, path: str, language: str, seen: Seen) -> Said:
        """What it says; nothing changes. `change` is what unsafe methods do."""
        if self.is_gone:
            raise Gone
        if self.is_broken:
            return Said(503, "broken")
        if seen.method not in ("GET", "HEAD"):
            return Said(204, location="/a" if seen.method == "POST" and path == "/b" else "")
        one = self.resources[path]
        varying = language if one.varies else None
        text = f"{path}-{one.version}-{varying}-{one.status}"
        etag = f'"{text}"' if one.has_etag else ""
        modified = formatdate(1_600_000_000 + 1000 * one.version, usegmt=True) if one.has_date else ""
        said = Said(one.status, text, one.saying if one.saying.words else None, varying, etag, modified,
                    one.sets_cookie, one.age)  # fmt: skip
        is_known = seen.etag == etag if seen.etag and etag else bool(modified) and seen.modified == modified
        return replace(said, status=304, text="") if is_known else said

    def change(self, path: str) -> None:
        """An unsafe method came through."""
        if not self.is_gone and not self.is_broken:
            self.resources[path].version += 1


@dataclass
class Kept:
    """A stored answer. `at` is when it was stored or confirmed."""

    said: Said
    saying: Saying
    at: float
    age: int
    is_soft: bool = False

    def age_at(self, now: float) -> float:
        return self.age + max(0.0, now - self.at)

    def left(self, now: float) -> float:
        return self.saying.fresh_s - self.age_at(now)


@dataclass(frozen=True)
class Got:
    """What a client gets, and what the origin is asked. `age` is there for what is served from the store."""

    status: int
    text: str = ""
    asks: tuple[Seen, ...] = ()
    age: int | None = None


class Model:
    """The cache. `now` is its clock."""

    def __init__(self, origin: Origin, now: float) -> None:
        self.origin = origin
        self.now = now
        self.kept: dict[str, list[Kept]] = {path: [] for path in PATHS}
        self._alone: dict[str, float] = {}

    def get(self, ask: Ask) -> Got:
        """What this request gets; what is stored changes with it."""
        if ask.method not in ("GET", "HEAD"):
            return self._other(ask)
        kept = self._fitting(ask)
        step = self._step(ask.wish, kept)
        if step in ("serve", "background") and kept is not None:
            asks: tuple[Seen, ...] = ()
            if step == "background" and ask.method == "GET" and not (ask.wish.only_stored or ask.wish.is_not_kept):
                asks = self._fetch(replace(ask, etag="", wants_part=False), kept)[1]
            return self._served(ask, kept, asks)
        if ask.wish.only_stored:
            return Got(504)
        if ask.method == "HEAD" or ask.wish.is_not_kept or (self._is_alone(ask.path) and (ask.etag or ask.wants_part)):
            return self._passed(ask, kept)
        said, seen = self._fetch(ask, kept if step == "validate" else None)
        if said is None or said.status == 503:
            if kept is not None and self._may_stand_in(ask.wish, kept, is_gone=said is None):
                return self._served(ask, kept, seen)
            return Got(502, "", seen) if said is None else Got(503, said.text, seen)
        if said.location == "alone":
            return Got(said.status, said.text, seen)
        return self._shaped(ask, said, seen)

    # --- decisions -------------------------------------------------------------------------------------------------

    def _fitting(self, ask: Ask) -> Kept | None:
        fitting = [one for one in self.kept[ask.path] if one.said.language in (None, ask.language)]
        return max(fitting, key=lambda one: one.at, default=None)

    def _step(self, wish: Wish, kept: Kept | None) -> str:
        if kept is None:
            return "fetch"
        ask_again = "validate" if kept.said.etag or kept.said.modified else "fetch"
        left = min(kept.left(self.now), 0.0) if kept.is_soft else kept.left(self.now)
        if kept.saying.is_validated_always or wish.wants_validation:
            return ask_again
        if wish.left_s is not None and left < wish.left_s:
            return ask_again
        if wish.youngest_s is not None and not (kept.saying.is_immutable and left > 0):
            if wish.youngest_s == 0 or kept.age_at(self.now) > wish.youngest_s:
                return ask_again
        if left > 0:
            return "serve"
        if not kept.saying.is_never_stale:
            if -left <= wish.stale_s:
                return "serve"
            if kept.saying.background_s and -left <= kept.saying.background_s:
                return "background"
        return ask_again

    def _may_stand_in(self, wish: Wish, kept: Kept, *, is_gone: bool) -> bool:
        saying = kept.saying
        if saying.is_never_stale or saying.is_validated_always or wish.wants_validation:
            return False
        left = kept.left(self.now)
        if left > 0:
            return kept.is_soft or wish.youngest_s is None or wish.errors_s > 0
        allowed = max(saying.errors_s, wish.errors_s, UNREACHABLE_S if is_gone else 0)
        return 0 < allowed >= -left

    def _may_be_kept(self, saying: Saying, ask: Ask | None = None) -> bool:
        if not saying.may_be_kept:
            return False
        return ask is None or not (ask.wish.is_not_kept or (ask.is_authorized and not saying.is_for_authorized))

    def _is_of_use(self, said: Said, saying: Saying) -> bool:
        if said.etag or said.modified:
            return True
        lives = saying.fresh_s > said.age
        lingers = not saying.is_never_stale and bool(saying.background_s or saying.errors_s)
        return not saying.is_validated_always and (lives or lingers)

    def _is_alone(self, path: str) -> bool:
        return self.now < self._alone.get(path, 0.0)

    # --- the origin is asked ---------------------------------------------------------------------------------------

    def _fetch(self, ask: Ask, validated: Kept | None) -> tuple[Said | None, tuple[Seen, ...]]:
        """What there is to answer with (None: nothing), and what the origin was asked. `location` is `alone` in what
        could not be stored: conditions and ranges are not applied to that."""
        old = validated.said if validated is not None else Said(0)
        seen = Seen("GET", old.etag, old.modified)
        try:
            said = self.origin.answer(ask.path, ask.language, seen)
        except Gone:
            return None, (seen,)
        asks: tuple[Seen, ...] = (seen,)
        if said.status == 304 and validated is not None:
            if said.etag in ("", old.etag):
                return self._confirmed(ask, validated, said), asks
            asks = (seen, Seen("GET"))  # it is about another answer
            said = self.origin.answer(ask.path, ask.language, asks[1])
        saying = said.saying or SAYINGS[-1]
        if said.status != 503 and not said.sets_cookie and self._is_of_use(said, saying):
            if self._may_be_kept(saying, ask):
                self._alone.pop(ask.path, None)
                others = [one for one in self.kept[ask.path] if one.said.language != said.language]
                self.kept[ask.path] = [Kept(said, saying, self.now, said.age), *others]
                return said, asks
        self._alone[ask.path] = self.now + ALONE_S
        if validated is not None and said.status != 503:
            self.kept[ask.path].remove(validated)
        return replace(said, location="alone"), asks

    def _confirmed(self, ask: Ask | None, kept: Kept, said: Said) -> Said:
        """A stored answer is still right, and these are its new fields."""
        path = next(path for path, stored in self.kept.items() if kept in stored)
        saying = said.saying or kept.saying
        newer = replace(kept.said, etag=said.etag or kept.said.etag, modified=said.modified or kept.said.modified,
                        age=said.age)  # fmt: skip
        if self._may_be_kept(saying, ask):
            self.kept[path].remove(kept)
            self.kept[path].insert(0, Kept(newer, saying, self.now, said.age))
        elif not self._may_be_kept(saying):
            self.kept[path].remove(kept)
        return newer

    def _passed(self, ask: Ask, kept: Kept | None) -> Got:
        """A request that is for the origin as it is."""
        seen = Seen(ask.method, ask.etag)
        try:
            said = self.origin.answer(ask.path, ask.language, seen)
        except Gone:
            if kept is not None and self._may_stand_in(ask.wish, kept, is_gone=True):
                return self._served(ask, kept, (seen,))
            return Got(502, "", (seen,))
        if said.status == 503 and kept is not None and self._may_stand_in(ask.wish, kept, is_gone=False):
            return self._served(ask, kept, (seen,))
        if ask.method == "HEAD":
            if said.status == 200 and kept is not None:
                self._learn(ask, kept, said)
            return Got(said.status, "", (seen,))
        return Got(said.status, said.text, (seen,))

    def _learn(self, ask: Ask, kept: Kept, said: Said) -> None:
        """A HEAD tells of what is stored: that it is right, or that it is not."""
        old = kept.said
        is_same = old.status == 200 and len(said.text) == len(old.text) and said.modified in ("", old.modified)
        if is_same and said.etag in ("", old.etag):
            self._confirmed(ask, kept, said)
        else:
            kept.is_soft = True
            self.kept[ask.path].remove(kept)
            self.kept[ask.path].insert(0, kept)

    def _other(self, ask: Ask) -> Got:
        """Unsafe methods make what is stored wrong, unless they fail."""
        seen = (Seen(ask.method),)
        try:
            said = self.origin.answer(ask.path, ask.language, seen[0])
        except Gone:
            return Got(502, "", seen)
        if said.status < 400 and ask.method != "OPTIONS":
            for path in {ask.path, said.location} - {""}:
                self.kept[path] = []
        return Got(said.status, said.text, seen)

    def purge(self, paths: list[str], *, is_soft: bool) -> int:
        """Somebody purges; how many answers that meets."""
        met = [one for path in paths for one in self.kept[path]]
        for path in paths:
            for one in self.kept[path]:
                one.is_soft = True
            self.kept[path] = self.kept[path] if is_soft else []
        return len(met)

    # --- answers ---------------------------------------------------------------------------------------------------

    def _served(self, ask: Ask, kept: Kept, asks: tuple[Seen, ...]) -> Got:
        return replace(self._shaped(ask, kept.said, asks), age=int(kept.age_at(self.now)))

    def _shaped(self, ask: Ask, said: Said, asks: tuple[Seen, ...]) -> Got:
        if ask.etag and 200 <= said.status < 300 and ask.etag == said.etag:
            return Got(304, "", asks)
        if ask.method == "HEAD":
            return Got(said.status, "", asks)
        if ask.wants_part and said.status == 200:
            return Got(206, said.text[2:5], asks)
        return Got(said.status, said.text, asks)

"""The filter: from a request to an answer that is stored, or to a fetch.

a hit             nothing is awaited: key, look, decide, answer
stale, but usable answered at once; validated in the background where the origin allows it
a miss            joined to a fetch that runs, or made one (`fetcher`)
for one alone     forwarded as it is: methods, conditions and contents that a cache does not understand, what rules
                  leave out
unsafe methods    forwarded; what they change is forgotten
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.filters.cache.answers import answer
from interpose.filters.cache.fetch import Fetch, State
from interpose.filters.cache.fetcher import Fetcher, Job, copied_failure, renew
from interpose.filters.cache.keeper import Keeper
from interpose.filters.cache.options import CacheOptions
from interpose.filters.cache.rules import Rules, Way
from interpose.protocol.cache_status import BYPASS, METHOD, age_line, forwarded, hit_lines
from interpose.protocol.caching import FAILURES, HIT, PLAIN_GET, Action, Asked, Decision, decide, may_stand_in, read
from interpose.protocol.conditional import NONE
from interpose.protocol.freshness import freshness_of
from interpose.protocol.stored import StoredHead
from interpose.protocol.updating import freshened_by_head, invalidated
from interpose.protocol.variants import select
from interpose.storage.growing import Growing
from interpose.storage.store import Entry

MOST_ROUNDS = 4
"""After so many fetches of others that were of no use, a request makes one that nobody else waits for."""


class Cache:
    """The filter. `keeper` is shared with the other filters of the same cache."""

    def __init__(self, options: CacheOptions, keeper: Keeper) -> None:
        self.keeper = keeper
        self._rules = Rules(options)
        self._has_rules = bool(options.rules)
        self._fetcher = Fetcher(keeper, self._rules, ends_when_left=not options.finish_abandoned)
        self._way = self._rules.default
        self._name = self._way.policy.name
        self._wall = keeper.wall
        self._look = keeper.store.look
        self._counts = keeper.counts
        keeper.policy = self._way.policy
        self._use = keeper.use()

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`. A hit is answered here and now."""
        method = request.method
        if (method != "GET" and method != "HEAD") or request.upgrade is not None:
            return self._other(exchange, request, forward)
        way = self._rules.way_of(request) if self._has_rules else self._way
        lines = request.fields.lines
        asked = read(method, lines, request.body is not EMPTY)
        if way.bypass:
            return self._alone(exchange, request, forward, asked, BYPASS, "a rule leaves it out")
        key = self._rules.key_of(exchange, request, way)
        entries = self._look(key)
        if entries is None:
            return self._found(Job(exchange, request, forward, way, asked, key))
        now = self._wall()
        entry: Entry | None = None
        if entries:
            entry = entries[0] if len(entries) == 1 and not entries[0].head.vary else select(entries, lines)
        decision = decide(asked, None if entry is None else entry.head, bool(entries), now, way.policy)
        if decision is HIT:
            assert entry is not None
            exchange.notes["cache"] = "hit"
            self._counts["cache_hits_total"] += 1
            head = entry.head
            shown = hit_lines(head, freshness_of(head, way.policy), now)
            if asked is PLAIN_GET:
                content = entry.content
                if isinstance(content, bytes):
                    body = Body(content)
                    body.digest = head.sha256
                else:
                    body = entry.body()
                return Answered(Response(head.status, Fields.of([*shown]), body, head.reason))
            return Answered(answer(asked, head, entry, head.length, shown, now))
        return self._not_a_hit(Job(exchange, request, forward, way, asked, key), entry, decision, now)

    async def _found(self, job: Job) -> Response:
        """The answer where the store has to be waited for."""
        entries = await self.keeper.store.find(job.key)
        now = self._wall()
        entry = select(entries, job.request.fields.lines) if entries else None
        decision = decide(job.asked, None if entry is None else entry.head, bool(entries), now, job.way.policy)
        if decision is HIT:
            assert entry is not None
            return self._stored(job, entry, now, "hit")
        return await self._not_a_hit(job, entry, decision, now)

    # --- what the store alone does not answer ----------------------------------------------------------------------

    async def _not_a_hit(self, job: Job, entry: Entry | None, decision: Decision, now: float) -> Response:
        action = decision.action
        if action is Action.REFUSE:
            return self._refused(job)
        if action is Action.SERVE:
            assert entry is not None
            return self._stored(job, entry, now)
        if action is Action.SERVE_AND_VALIDATE:
            assert entry is not None
            if job.is_ordinary and self.keeper.joinable(job.key, job.request.fields.lines) is None:
                self._fetcher.begin(job, entry, is_for_all=True, in_background=True)
            return self._stored(job, entry, now)
        asked = job.asked
        why = decision.reason.decode("ascii")
        self.keeper.note_miss(job.key, now, why)
        if not decision.may_store or not job.is_ordinary or self._wants_part(job, now):
            return await self._alone(
                job.exchange, job.request, job.forward, asked, decision.reason, "", job.key, entry, job.way
            )
        return await self._fetched(job, entry, decision, now)

    def _wants_part(self, job: Job, now: float) -> bool:
        """Whether a part or a condition concerns an answer that will not be shared: the origin can do that itself."""
        asked = job.asked
        return (asked.range is not None or asked.conditions is not NONE) and self.keeper.is_alone(job.key, now)

    def _refused(self, job: Job) -> Response:
        why = "the request says only-if-cached, and nothing that is stored is good for it"
        job.exchange.refused_by("cache", "only-if-cached", why)
        job.exchange.notes["cache"] = "refused"
        response = Response.text(504, "Nothing that is stored is good for this request.\n")
        response.fields.lines.append(field_line("Cache-Status", self._name + b"; detail=only-if-cached"))
        return response

    def _stored(self, job: Job, entry: Entry, now: float, how: str = "stale") -> Response:
        job.exchange.notes["cache"] = how
        self._counts["cache_hits_total" if how == "hit" else "cache_stale_total"] += 1
        head = entry.head
        shown = hit_lines(head, freshness_of(head, job.way.policy), now)
        return answer(job.asked, head, entry, head.length, shown, now)

    def _stand_in(self, job: Job, entry: Entry | None, error: BaseException | None = None) -> Response | None:
        """A stale answer where the origin failed, in its answer or before it (`error`); None when none may be used
        so."""
        now = self._wall()
        gone = isinstance(error, Failure) and error.side is Side.UPSTREAM
        if entry is None or not may_stand_in(job.asked, entry.head, now, job.way.policy, is_unreachable=gone):
            return None
        return self._stored(job, entry, now)

    async def _fetched(self, job: Job, entry: Entry | None, decision: Decision, now: float) -> Response:
        """An answer of the origin, to this request or to another that wants the same."""
        is_for_all = not self.keeper.is_alone(job.key, now)
        has_failed = False
        for rounds in range(MOST_ROUNDS + 1):
            is_for_all = is_for_all and rounds < MOST_ROUNDS
            fetch = self.keeper.joinable(job.key, job.request.fields.lines) if is_for_all else None
            first = fetch is None
            if fetch is None:
                validates = entry if decision.action is Action.VALIDATE else None
                fetch = self._fetcher.begin(job, validates, is_for_all=is_for_all)
            if not await fetch.wait(first=first):
                fetch.release()
                continue
            try:
                if fetch.state is State.KEPT:
                    response = self._of_kept(job, fetch, decision, first=first)
                    if response is not None:
                        return response
                    is_for_all = False
                elif fetch.state is State.ALONE:
                    if fetch.status in FAILURES and (stale := self._stand_in(job, entry)) is not None:
                        return stale
                    if first:
                        return self._of_one(job, fetch, decision)
                    is_for_all = False
                else:
                    if (stale := self._stand_in(job, entry, fetch.error)) is not None:
                        return stale
                    if first or has_failed:
                        job.exchange.notes.update(fetch.notes)
                        job.exchange.notes["cache"] = "miss"
                        raise copied_failure(fetch.error)
                    has_failed = True
            finally:
                if first:
                    fetch.drop_response()
                fetch.release()
            # What another's fetch brought was of no use here. By now something else may be stored.
            entries = self._look(job.key)
            if entries is None:
                entries = await self.keeper.store.find(job.key)
            entry = select(entries, job.request.fields.lines) if entries else None
            now = self._wall()
            decision = decide(job.asked, None if entry is None else entry.head, bool(entries), now, job.way.policy)
            if decision.action is Action.SERVE or decision.action is Action.SERVE_AND_VALIDATE:
                assert entry is not None
                return self._stored(job, entry, now, "hit" if decision is HIT else "stale")
        raise AssertionError("the last round asks for itself alone")

    def _of_kept(self, job: Job, fetch: Fetch, decision: Decision, *, first: bool) -> Response | None:
        """The answer out of a fetch whose answer is being stored; None when it does not fit this request."""
        head, content = fetch.head, fetch.content
        assert head is not None
        assert content is not None
        now = self._wall()
        if not first:
            entries = (Entry(head, b""),)
            if select(entries, job.request.fields.lines) is None:
                return None
            if decide(job.asked, head, True, now, job.way.policy).action is not Action.SERVE:
                return None
        if isinstance(content, Growing) and not content.is_open:
            return None
        was_validated = fetch.status == 304
        policy = job.way.policy
        shown = forwarded(
            self._name, decision.reason, status=304 if was_validated else None, stored=not first or fetch.is_stored,
            collapsed=not first,
        )  # fmt: skip
        if first and not was_validated:
            lines = [*fetch.received, shown]
        else:
            lines = [line for line in head.lines if line[0] != b"age"]
            lines += [age_line(freshness_of(head, policy).age(now).__floor__()), shown]
        job.exchange.notes["cache"] = "revalidated" if was_validated else "miss" if first else "collapsed"
        self._counts["cache_validated_total" if was_validated else "cache_misses_total"] += first
        self._counts["cache_collapsed_total"] += not first
        length = content.length if isinstance(content, Growing) else head.length
        return answer(job.asked, head, content, length, lines, now)

    def _of_one(self, job: Job, fetch: Fetch, decision: Decision) -> Response:
        """The answer that could not be shared, for who asked first."""
        response, fetch.response = fetch.response, None
        assert response is not None
        job.exchange.notes["cache"] = "miss"
        job.exchange.notes["not_stored"] = fetch.why_alone
        now = self._wall()
        self.keeper.note_miss(job.key, now, f"{decision.reason.decode('ascii')}; not stored: {fetch.why_alone}")
        self._counts["cache_misses_total"] += 1
        response.fields.lines.append(forwarded(self._name, decision.reason))
        return response

    # --- what is for one request alone -----------------------------------------------------------------------------

    async def _alone(
        self,
        exchange: Exchange,
        request: Request,
        forward: Handler,
        asked: Asked,
        reason: bytes,
        why: str,
        key: bytes = b"",
        entry: Entry | None = None,
        way: Way | None = None,
    ) -> Response:
        """Forward a request as it is. Its answer is not stored; that to a HEAD may say something of what is."""
        exchange.notes["cache"] = "bypass" if reason in (BYPASS, METHOD) else "miss"
        if why:
            exchange.notes["not_stored"] = why
        lines = list(request.fields.lines)
        job = None if way is None else Job(exchange, request, forward, way, asked, key)
        asked_at = self._wall()
        try:
            response = await forward(exchange, request)
        except Failure as failure:
            if job is not None and (stale := self._stand_in(job, entry, failure)) is not None:
                return stale
            raise
        if job is not None and response.status in FAILURES and (stale := self._stand_in(job, entry)) is not None:
            response.body.close()
            return stale
        if asked.method == "HEAD" and entry is not None and way is not None:
            self._learn(asked, entry, response, lines, asked_at, way)
        self._counts["cache_bypassed_total"] += 1
        response.fields.lines.append(forwarded(self._name, reason))
        return response

    def _learn(
        self, asked: Asked, entry: Entry, response: Response, lines: Sequence[FieldLine], asked_at: float, way: Way
    ) -> None:
        """What the answer to a HEAD says of the stored one (RFC 9111, 4.3.5)."""
        if response.status != 200:
            return
        newer: StoredHead | None = freshened_by_head(
            entry.head, response.fields.lines, response.declared_length, lines, asked_at, self._wall(), way.policy,
            way.tag_fields,
        )  # fmt: skip
        if newer is None:
            self.keeper.store.refresh(entry, entry.head.replace(expired=True))
        else:
            asked = self._rules.asked_by(asked, lines, newer.lines)
            renew(self.keeper.store, entry, newer, asked, way.policy)

    async def _other(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """A method that a cache does not answer. What it changes is forgotten, here and where it is being fetched."""
        method, target = request.method, request.target
        if method == "CONNECT":
            return await forward(exchange, request)
        way = self._rules.way_of(request)
        key = self._rules.key_of(exchange, request, way)
        response = await forward(exchange, request)
        exchange.notes["cache"] = "bypass"
        self._counts["cache_bypassed_total"] += 1
        for changed in invalidated(method, response.status, target, response.fields.lines):
            if self._rules.keys_are_plain:
                await self.keeper.invalidate(key if changed == target else self._rules.key_of_target(changed, way))
            else:
                await self.keeper.forget_url(self._rules.key_of_target(changed, way))
        if response.status != 101:
            response.fields.lines.append(forwarded(self._name, METHOD if request.upgrade is None else BYPASS))
        return response

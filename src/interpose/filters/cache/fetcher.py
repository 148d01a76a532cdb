"""What makes fetches: asks the origin, decides what of its answer is stored, and lets it flow there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from functools import partial
from typing import NamedTuple

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.filters.cache.fetch import Fetch, Flow, State
from interpose.filters.cache.keeper import Keeper
from interpose.filters.cache.rules import Rules, Way
from interpose.protocol.caching import PLAIN_GET, Asked, validation_lines
from interpose.protocol.conditional import FIELDS, NONE
from interpose.protocol.freshness import Policy
from interpose.protocol.stored import StoredHead
from interpose.protocol.storing import keep, refusal
from interpose.protocol.updating import freshened
from interpose.storage.store import Entry, Store, Writer

log = logging.getLogger("interpose")

_OF_ONE_REQUEST = FIELDS | {b"range"}


class Job(NamedTuple):
    """A request that the store alone did not answer, and what holds for it."""

    exchange: Exchange
    request: Request
    forward: Handler
    way: Way
    asked: Asked
    key: bytes

    @property
    def is_ordinary(self) -> bool:
        """Whether what this request gets may be stored, if its answer allows it."""
        return self.asked.method == "GET" and not self.asked.directives.no_store


class Fetcher:
    """See the module."""

    def __init__(self, keeper: Keeper, rules: Rules, *, ends_when_left: bool) -> None:
        self._keeper = keeper
        self._rules = rules
        self._ends_when_left = ends_when_left

    def begin(self, job: Job, stale: Entry | None, *, is_for_all: bool, in_background: bool = False) -> Fetch:
        """A fetch for this request and, if `is_for_all`, for others that want the same. `stale` is what to validate."""
        loop = asyncio.get_running_loop()
        asking, request = job.exchange, job.request.copy()
        lines = request.fields.lines
        if job.asked.conditions is not NONE or job.asked.range is not None:
            request.fields.lines = [line for line in lines if line[0] not in _OF_ONE_REQUEST]
        fetch = Fetch(loop, lines, ends_when_left=self._ends_when_left and not in_background)
        fetch.may_be_joined = is_for_all
        own = Exchange(asking.number, asking.worker, asking.listener, asking.client, loop.time(), asking.scheme)
        own.parent, own.tls, own.user, own.authority = asking, asking.tls, asking.user, asking.authority
        own.upstream, own.representation = asking.upstream, asking.representation
        own.through, own.groups, own.route = asking.through, asking.groups, asking.route
        if not in_background:
            own.attempts = asking.attempts
            own.on_interim = partial(_pass_interim, asking)
        self._keeper.add(job.key, fetch)
        fetch.task = loop.create_task(self._run(job._replace(exchange=own, request=request), fetch, stale))
        fetch.task.add_done_callback(partial(self._task_ended, job.key, fetch))
        return fetch

    def _task_ended(self, key: bytes, fetch: Fetch, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step never runs, and nobody else would say so."""
        if fetch.state is State.ASKING:
            self._keeper.remove(key, fetch)
            fetch.failed(asyncio.CancelledError())

    async def _run(self, job: Job, fetch: Fetch, stale: Entry | None) -> None:
        own = job.exchange
        try:
            response = await self._answer(job, fetch, stale)
            if response is not None:
                superseded = self._take(job, fetch, response, self._keeper.wall())
                if superseded is not None:
                    await self._supersede(superseded)
                elif stale is not None and fetch.state is State.ALONE and _says_what_is(response.status):
                    self._keeper.store.remove(stale)  # RFC 9111, 4.3.3: it is not suitable any more
        except (Exception, asyncio.CancelledError) as error:
            if not isinstance(error, Failure | asyncio.CancelledError):
                log.error("exchange %s: a fetch for the cache failed", own.id, exc_info=error)
            self._keeper.remove(job.key, fetch)
            fetch.notes = dict(own.notes)
            fetch.failed(error)
            self._finish(own, 0, 0, copied_failure(error))

    async def _answer(self, job: Job, fetch: Fetch, stale: Entry | None) -> Response | None:
        """The origin's answer, None when all is done: a 304 has made what is stored good again."""
        own, request, wall = job.exchange, job.request, self._keeper.wall
        fetch.asked_at = wall()
        if stale is None:
            return await job.forward(own, request)
        again = request.copy()
        request.fields.lines = [*request.fields.lines, *validation_lines(stale.head)]
        response = await job.forward(own, request)
        if response.status != 304:
            return response
        now = wall()
        newer = freshened(
            stale.head, response.fields.lines, fetch.lines, fetch.asked_at, now, job.way.policy, job.way.tag_fields
        )
        response.body.close()
        if newer is None:  # it is about something else: ask again, without a condition
            fetch.asked_at = wall()
            return await job.forward(own, again)
        fetch.status = 304
        self._keeper.remove(job.key, fetch)
        if fetch.is_wrong:
            self._keeper.store.remove(stale)
        else:
            asked = self._rules.asked_by(job.asked, fetch.lines, newer.lines)
            fetch.is_stored = renew(self._keeper.store, stale, newer, asked, job.way.policy)
        fetch.is_kept(newer, Entry(newer, stale.content))
        self._finish(own, 304, 0, None)
        return None

    def _take(self, job: Job, fetch: Fetch, response: Response, now: float) -> StoredHead | None:
        """Let the answer flow into the store and to whoever wants it, or give it to who asked first. The head of what
        the store should have had and did not take."""
        fetch.status = response.status
        fetch.received = response.fields.lines
        kept = self._kept(job, fetch, response, now)
        if isinstance(kept, str):
            self._leave_alone(job, fetch, response, kept)
            return None
        body = response.body
        writer = self._keeper.store.writer(kept.replace(length=body.length) if body.length else kept)
        if writer.gave_up:
            writer.abort()
            self._leave_alone(job, fetch, response, "it is too large for this cache")
            return kept
        self._keeper.note_shared(job.key)
        fetch.is_stored = True
        if body.is_complete and body.trailers is None:
            content = body.take()
            writer.write(content)
            whole = kept.replace(length=len(content), sha256=hashlib.sha256(content).digest())
            writer.commit(whole)
            fetch.is_kept(whole, Entry(whole, content))
            self._ended(job, fetch, whole, writer, len(content), None)
            return None
        flow = Flow(fetch, kept, body, writer, self._keeper.space, partial(self._ended, job, fetch, kept, writer))
        flow.begin()
        return None

    def _kept(self, job: Job, fetch: Fetch, response: Response, now: float) -> StoredHead | str:
        """The head to store, or why there is none."""
        if fetch.is_wrong:
            return "it was changed meanwhile"
        if response.ends_with_connection:
            return "nothing says where it ends but the end of the connection"
        if response.then is not None:
            return "it switches protocols"
        lines, policy = response.fields.lines, job.way.policy
        asked = self._rules.asked_by(job.asked, fetch.lines, lines)
        kept = keep(
            asked, fetch.lines, job.key, response.status, response.reason, lines, fetch.asked_at, now, policy,
            job.way.tag_fields,
        )  # fmt: skip
        if isinstance(kept, str):
            return kept
        varies_on = [name for name, _ in kept.vary]
        if not self._rules.may_fill(fetch.lines, varies_on, lines):
            return "the request has a field that servers believe and caches do not look at"
        return kept

    def _leave_alone(self, job: Job, fetch: Fetch, response: Response, why: str) -> None:
        now = self._keeper.wall()
        self._keeper.remove(job.key, fetch)
        self._keeper.note_alone(job.key, now)
        parent = job.exchange.parent
        assert parent is not None
        parent.at_end(partial(_finish_with, job.exchange))
        fetch.is_alone(response, why)

    def _ended(
        self, job: Job, fetch: Fetch, head: StoredHead, writer: Writer, received: int, failure: Failure | None
    ) -> None:
        """All of the content is here, or it broke off. Who comes now finds it in the store, as soon as that has it."""
        self._finish(job.exchange, fetch.status, received, failure)
        superseded = head if writer.gave_up else None
        if failure is not None or fetch.is_wrong or (superseded is None and self._keeper.store.look(job.key)):
            self._keeper.remove(job.key, fetch)
        else:
            fetch.task = asyncio.get_running_loop().create_task(self._settle(job.key, fetch, superseded))

    async def _settle(self, key: bytes, fetch: Fetch, superseded: StoredHead | None) -> None:
        try:
            if superseded is not None:
                await self._supersede(superseded)
            await self._keeper.store.settle()
        finally:
            self._keeper.remove(key, fetch)

    async def _supersede(self, head: StoredHead) -> None:
        """Forget what is stored of this variant: its origin has said something newer, which could not be stored."""
        store = self._keeper.store
        entries = store.look(head.key)
        if entries is None:
            entries = await store.find(head.key)
        for entry in tuple(entries):
            if entry.head.vary == head.vary:
                store.remove(entry)

    @staticmethod
    def _finish(own: Exchange, status: int, octets: int, failure: BaseException | None) -> None:
        known = failure if isinstance(failure, Failure) else None
        own.finish(Outcome(status, octets, known, asyncio.get_running_loop().time()))


def renew(store: Store, entry: Entry, newer: StoredHead, asked: Asked, policy: Policy) -> bool:
    """Give an entry the head that an answer to this request has made of it: whether that may be stored.

    When the answer forbids it, the entry goes. When only the request does (it has credentials, or says no-store), what
    it was told is not for others, and the entry stays as it is.
    """
    if refusal(asked, newer, policy) is None:
        store.refresh(entry, newer)
        return True
    if refusal(PLAIN_GET, newer, policy) is not None:
        store.remove(entry)
    return False


def _says_what_is(status: int) -> bool:
    """Whether an answer tells what its target is now, and not what is wrong with a request or a server."""
    return status < 400 or status in (404, 410)


def _finish_with(own: Exchange, outcome: Outcome) -> None:
    own.finish(outcome)


def _pass_interim(asking: Exchange, status: int, fields: Fields) -> None:
    """Interim answers are for who asked first, as long as it waits."""
    if asking.outcome is None and asking.on_interim is not None:
        asking.on_interim(status, fields)


def copied_failure(error: BaseException | None) -> BaseException:
    """What one of several is told of an error: each needs its own, since where it passed is written into it."""
    if isinstance(error, Failure):
        return Failure(error.kind, error.side, error.detail, status=error.status, sent=error.sent)
    if error is None or isinstance(error, asyncio.CancelledError):
        return Failure("connection_terminated", Side.INTERNAL, "The request to the server was given up.")
    return error

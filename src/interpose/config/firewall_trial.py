"""What-if: recorded requests and answers, asked of the rules as they are and as they could be.

The rules run in processes of their own that are started for it, as in a worker; what runs is not touched. Both sides of
the comparison are asked about the same recorded octets, so that what was cut off, or made unreadable for the journal,
counts on neither.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from msgspec.structs import replace

from interpose.config.firewall import new_pool
from interpose.config.model import Config
from interpose.core.query.recorded import Recorded
from interpose.core.record import Kind, Part, Record, field_pairs
from interpose.filters.firewall.filter import undone
from interpose.filters.firewall.judge import NOTHING, Judgement, judged
from interpose.filters.firewall.messages import Inspect
from interpose.filters.firewall.options import Exclusion, Firewall
from interpose.filters.firewall.own_rules import OwnRules, exclusions_of
from interpose.filters.firewall.pool import Pool, Unavailable
from interpose.filters.firewall.reasons import told_by
from interpose.filters.firewall.rule_text import flags_for, levels_in, rules_of
from interpose.filters.firewall.what_if import Judged, Pair, exclusions, not_in_vain, smallest_cover
from interpose.protocol.compressible import MediaTypes
from interpose.protocol.content_coding import CodingError

AT_ONCE = 4
FEW = 200
"""Fewer are asked sooner than a second process has started."""
ROUNDS = 3
"""How often exclusions are proposed, tried out, and more are added where that was not enough."""

Case = tuple[int, Record]


class Trial(NamedTuple):
    """What came of it. `unjudged` took too long; `cut` had more content than was kept, of which only that was looked
    at; `left` are refused in spite of the exclusions."""

    before: dict[int, Judged]
    after: dict[int, Judged]
    unjudged: int
    cut: int
    wanted: list[int]
    proposed: list[Exclusion]
    left: list[int]


async def try_out(now: Firewall | None, then: Firewall, cases: Sequence[Case], *, every: bool) -> Trial:
    """Ask both about `cases`. Exclusions are proposed for those newly refused; with `every` for all that are.
    ValueError when the rules of `then` cannot be loaded."""
    before = await _judged_by(now, cases) if now is not None else {id: _free(id, record) for id, record in cases}
    after = before if then == now else await _judged_by(then, cases)
    wanted = [id for id, one in after.items() if one.blocked and (every or (id in before and not before[id].blocked))]
    proposed, left = await _proposed(then, [case for case in cases if case[0] in set(wanted)], after)
    return Trial(
        before,
        after,
        unjudged=len(cases) - len(after),
        cut=sum(record.request.size > len(record.request.content) for _, record in cases),
        wanted=wanted,
        proposed=proposed,
        left=left,
    )


async def _proposed(
    then: Firewall, cases: Sequence[Case], after: dict[int, Judged]
) -> tuple[list[Exclusion], list[int]]:
    """Exclusions that free `cases`, tried out, and who is refused all the same."""
    if not cases or not then.core_rules:
        return [], [id for id, _ in cases]
    levels = levels_in(rules_of(then))
    found: list[Exclusion] = []
    tried: list[Pair] = []
    seen = refused = [after[id] for id, _ in cases]
    for _ in range(ROUNDS):
        more = not_in_vain(smallest_cover(refused, levels, then.blocking_paranoia), tried)
        if not more:
            break
        tried = [*(pair for pair in tried if Pair(pair.rule, "") not in more), *more]
        found = exclusions(tried, seen)
        with_them = replace(then, exclusions=(*then.exclusions, *found))
        came = await _judged_by(with_them, cases)
        refused = [one for one in came.values() if one.blocked]
        if not refused:
            break
        seen = [*seen, *refused]
    return found, [one.id for one in refused]


async def _judged_by(options: Firewall, cases: Sequence[Case]) -> dict[int, Judged]:
    """What the rules make of each; without those over which they took too long."""
    found: dict[int, Judged] = {}
    processes = 1 if len(cases) < FEW else options.processes
    async with _asking(replace(options, processes=processes, max_waiting=2 * AT_ONCE)) as ask:
        waiting = iter(cases)

        async def go_on() -> None:
            for id, record in waiting:
                judgement = await ask(id, record)
                if judgement is not None:
                    found[id] = judgement

        await asyncio.gather(*[go_on() for _ in range(AT_ONCE)])
    return {id: found[id] for id, _ in cases if id in found}


@asynccontextmanager
async def _asking(options: Firewall) -> AsyncIterator[Callable[..., asyncio.Future[Judged | None]]]:
    pool = new_pool(options) if options.core_rules else None
    try:
        if pool is not None:
            await pool.start()
        judge = _Judge(options, pool)
        yield lambda id, record: asyncio.ensure_future(judge(id, record))
    finally:
        if pool is not None:
            await pool.close()


class _Judge:
    """Asks about one record after the other."""

    def __init__(self, options: Firewall, pool: Pool | None) -> None:
        self._options = options
        self._pool = pool
        self._inbound = OwnRules(options.rules, "inbound")
        self._outbound = OwnRules(options.rules, "outbound")
        self._exclusions = exclusions_of(options.exclusions)
        self._types = MediaTypes(options.response_types)

    async def __call__(self, id: int, record: Record) -> Judged | None:
        """What the rules make of it; None when they took too long."""
        options, pool = self._options, self._pool
        subject = Recorded(record, now=time.time())
        found = self._inbound.ask([subject]) if self._inbound else NOTHING
        verdict = asking = None
        try:
            if pool is not None:
                verdict, asking = await pool.request(self._request(record, subject))
            judgement = self._judgement(found, verdict, is_answer=False)
            told = told_by(record.notes)
            was_refused = told is not None and told.result == "blocked"
            if judgement.reaches or was_refused or not options.responses or not record.status:
                if asking is not None and pool is not None:
                    pool.forget(asking)
                return _told(id, record, judgement, "inbound", options.inbound_threshold)
            found = self._outbound.ask([subject]) if self._outbound else NOTHING
            verdict = None
            if asking is not None and pool is not None:
                part = record.response
                verdict = await pool.answer(asking, record.status, part.fields, self._beginning(part))
            answered = self._judgement(found, verdict, is_answer=True)
        except Unavailable:
            return None
        if answered.reaches or not judgement.matches:
            return _told(id, record, answered, "outbound", options.outbound_threshold)
        return _told(id, record, judgement, "inbound", options.inbound_threshold)

    def _judgement(self, found: object, verdict: object, *, is_answer: bool) -> Judgement:
        options = self._options
        return judged(
            found,  # type: ignore[arg-type]
            verdict,  # type: ignore[arg-type]
            is_answer=is_answer,
            blocking=options.blocking_paranoia,
            threshold=options.outbound_threshold if is_answer else options.inbound_threshold,
            blocks=True,
        )

    def _request(self, record: Record, subject: Recorded) -> Inspect:
        numbers = [number for number, matcher in self._exclusions if matcher.matches(subject)]
        part = record.request
        fields = part.fields
        body = part.content if part.size <= self._options.max_body_bytes else b""
        names = {name.lower() for name, _ in field_pairs(fields)}
        if b"host" not in names:
            fields = b"Host: %b\r\n" % record.host.encode("latin-1", "replace") + fields
        if body and b"content-encoding" in names:
            fields, body = self._uncoded(fields, body)
        if part.size:
            fields += b"Content-Length: %d\r\n" % part.size
        return Inspect(
            0,
            flags_for(record.exchange, detects=True, exclusions=numbers),
            record.client,
            record.local,
            record.method,
            _origin_form(record.target),
            "1.1" if record.version else "1.0",
            fields,
            body,
            self._options.responses,
        )

    def _uncoded(self, fields: bytes, body: bytes) -> tuple[bytes, bytes]:
        codings = [value for name, value in field_pairs(fields) if name.lower() == b"content-encoding"]
        try:
            plain, is_whole = undone(body, codings, self._options.max_body_bytes)
        except CodingError:
            return fields, body
        kept = [line for line in field_pairs(fields) if line[0].lower() != b"content-encoding"]
        return b"".join([b"%b: %b\r\n" % line for line in kept]), plain if is_whole else b""

    def _beginning(self, part: Part) -> bytes:
        most = self._options.max_response_bytes
        types = [value for name, value in field_pairs(part.fields) if name.lower() == b"content-type"]
        codings = [value for name, value in field_pairs(part.fields) if name.lower() == b"content-encoding"]
        if not most or not self._types.matches(types[0] if types else b""):
            return b""
        try:
            return undone(part.content[: most + 1], codings, most)[0][:most] if codings else part.content[:most]
        except CodingError:
            return b""


def cases_of(records: Sequence[Case], config: Config) -> list[Case]:
    """Those that the firewall is asked about, or would be if there were one."""
    return [(id, record) for id, record in records if _is_inspected(record, config)]


def _is_inspected(record: Record, config: Config) -> bool:
    if record.kind is not Kind.HTTP or not record.method:
        return False
    listener = next((one for one in config.listeners if one.name == record.listener), None)
    if listener is None or listener.role != "gateway":
        return False
    route = next((one for one in config.routes if one.name == record.route), None)
    if config.firewall is None or (route is not None and route.firewall is not None and route.firewall.mode):
        return route is None or route.firewall is None or route.firewall.mode != "off"
    return not config.firewall.listeners or listener.name in config.firewall.listeners


def _told(id: int, record: Record, judgement: Judgement, side: str, threshold: int) -> Judged:
    refuses = judgement.reaches and judgement.score < threshold  # a rule that refuses by itself
    excess = None if refuses else judgement.score - threshold + 1
    return Judged(id, _path(record.target), judgement.reaches, side, judgement.score, judgement.matches, excess)


def _free(id: int, record: Record) -> Judged:
    return Judged(id, _path(record.target), False, "inbound", 0, [], None)


def _origin_form(target: str) -> str:
    _, separator, rest = target.partition("://")
    if not separator:
        return target
    _, slash, path = rest.partition("/")
    return f"/{path}" if slash else "/"


def _path(target: str) -> str:
    return _origin_form(target).partition("?")[0]

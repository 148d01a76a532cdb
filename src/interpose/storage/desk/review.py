"""What people do at the desk: look, edit, decide, make rules. The console's and the command line's way to it.

Whoever changes something says what was seen: the version for an edit, version and digest for a decision. When that is
not what is there, `Conflict` has the hold as it is now. Beside it: NoSuchHold, NotEditable and QueryError (a sentence
for whoever asked), Damaged, Full for an edit without room, and OSError or sqlite3.Error when the disk does not take it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any, Literal

from interpose.core.hold import HeldMessage, Mode, Verdict, What
from interpose.protocol.content_coding import Decoder, coding_of
from interpose.storage.desk.editing import EditedMessage, NotEditable, edited
from interpose.storage.desk.kept import Kept, State, values
from interpose.storage.desk.local import LocalDesk
from interpose.storage.desk.matching import matcher_of, query_for
from interpose.storage.desk.messages import Messages
from interpose.storage.desk.rules import Rule
from interpose.storage.desk.store import Seen, Stale, Store
from interpose.storage.desk.views import AuditPage, HoldView, Listing, hold_of

MOST_LISTED = 1000
MOST_RULE_S = 366 * 86400.0

_STATES = {
    "waiting": (State.WAITING,),
    "decided": (State.DECIDED, State.SETTLED),
    "all": tuple(State),
}
_NEW_ANSWER = HeldMessage(What.RESPONSE, status=200)


class Conflict(Exception):
    """Somebody else was quicker. The text is a sentence, `hold` what is there now."""

    def __init__(self, message: str, hold: HoldView) -> None:
        super().__init__(message)
        self.hold = hold


class Review:
    """The desk for people. `who` is always the name of whoever does it."""

    def __init__(self, desk: LocalDesk) -> None:
        self._desk = desk

    # --- looking ---------------------------------------------------------------------------------------------------

    async def listed(self, state: Literal["waiting", "decided", "all"] = "waiting", limit: int = 100) -> Listing:
        """Holds, the newest first."""
        states = _STATES[state]
        holds = await self._desk.store(Store.holds, states, max(0, min(limit, MOST_LISTED)))
        return Listing(holds=[self._desk.row(hold) for hold in holds], waiting=await self._desk.store(Store.waiting))

    async def shown(self, id: str) -> HoldView:
        """All of one hold."""
        return await self._desk.store(self._view, id)

    async def content(self, id: str, *, decoded: bool = False) -> Iterator[bytes]:
        """The octets of its content as they are stored, or with their coding undone; read from the disk as they are
        asked for, by another thread than the loop's. CodingError, at once or on the way, where it cannot be undone."""
        messages, message = await self._desk.store(_current, id)
        pieces = messages.contents.pieces(message.content)
        coding = coding_of(values(message.fields, b"content-encoding")) if decoded else ""
        return _undone(pieces, Decoder(coding)) if coding else pieces

    async def audit(self, after: int = 0, limit: int = 100) -> AuditPage:
        """Who did what, oldest first, from behind entry `after`."""
        most = max(0, min(limit, MOST_LISTED))
        return await self._desk.store(
            lambda store: AuditPage(entries=store.audit.after(after, most), sound=store.audit.is_sound())
        )

    async def look(self, id: str, who: str, reviewing: bool) -> None:
        """Say that somebody looks at a hold (for half a minute), or does no more."""
        hold = await self._desk.store(Store.hold, id)
        if hold.state is State.WAITING and self._desk.reviewers.look(id, who, reviewing):
            self._desk.changed(hold)

    # --- deciding --------------------------------------------------------------------------------------------------

    async def edit(self, id: str, version: int, change: EditedMessage, who: str) -> HoldView:
        """Make a new version of the message that was seen as `version`."""

        def make(store: Store) -> Kept:
            read = store.messages.contents.pieces
            return store.edit(
                id,
                version,
                lambda message: edited(message, change, lambda: read(message.content)),
                who,
                self._desk.wall(),
            )

        async def steps() -> None:
            self._desk.changed(await self._desk.store(make))

        await self._or_conflict(id, self._desk.whole(steps()))
        return await self.shown(id)

    async def release(self, id: str, seen: Seen, who: str, why: str = "") -> HoldView:
        """Let it go on, exactly as it was seen. For one whose client has left there is `send`."""
        hold = await self._desk.store(Store.hold, id)
        if hold.state is State.WAITING and hold.mode is Mode.WAIT and not self._desk.waits(id):
            raise Conflict(f"Nobody waits for hold {id} any more; it can be sent or dropped.", await self.shown(id))
        return await self._decide(id, Verdict.RELEASE, seen, who, why)

    async def drop(self, id: str, seen: Seen, who: str, why: str = "") -> HoldView:
        """Let it go nowhere."""
        return await self._decide(id, Verdict.DROP, seen, who, why)

    async def answer(self, id: str, seen: Seen, change: EditedMessage, who: str, why: str = "") -> HoldView:
        """(a request whose client waits) Answer it by hand: with 200, no fields and no content, but for `change`."""
        hold = await self._desk.store(Store.hold, id)
        if hold.what is not What.REQUEST:
            raise NotEditable(f"Only a request can be answered, and hold {id} is a {hold.what}.")
        if hold.mode is not Mode.WAIT or (hold.state is State.WAITING and not self._desk.waits(id)):
            raise Conflict(f"Nobody waits for an answer to hold {id}.", await self.shown(id))
        message = edited(_NEW_ANSWER, change, lambda: ())
        return await self._decide(id, Verdict.ANSWER, seen, who, why, message)

    async def send(self, id: str, seen: Seen, who: str, why: str = "") -> HoldView:
        """(a request whose client does not wait) Have the desk send it, until an answer has come."""
        hold = await self._desk.store(Store.hold, id)
        if hold.what is not What.REQUEST:
            raise NotEditable(f"Only a request can be sent from the desk, and hold {id} is a {hold.what}.")
        if self._desk.waits(id):
            raise Conflict(f"The client of hold {id} waits for it; release it instead.", await self.shown(id))
        return await self._decide(id, Verdict.RELEASE, seen, who, why, sends=True)

    # --- rules -----------------------------------------------------------------------------------------------------

    async def rules(self) -> list[Rule]:
        """Those that hold, the newest first."""
        now = self._desk.wall()
        return await self._desk.store(lambda store: store.rules.all(now))

    async def make_rule(self, id: str, who: str, query: str | None = None, for_s: float = 604800.0) -> Rule:
        """Let messages pass from now on that match `query`; without one, those that go where hold `id` goes."""
        if not 0 < for_s <= MOST_RULE_S:
            raise NotEditable(f"A rule can hold for {MOST_RULE_S:.0f} seconds at most, not for {for_s:g}.")
        if query is None:
            query = await self._desk.store(_query_for, id)
        else:
            await self._desk.store(Store.hold, id)
        matcher_of(query)  # raises where it cannot be used
        text = query

        async def steps() -> Rule:
            now = self._desk.wall()
            rule = await self._desk.store(lambda store: store.rules.add(text, for_s, who, id, now))
            self._desk.passing.add(rule)
            return rule

        return await self._desk.whole(steps())

    async def remove_rule(self, id: int, who: str) -> bool:
        """Let nothing pass by a rule any more; whether it was there."""
        self._desk.passing.remove(id)
        now = self._desk.wall()
        return await self._desk.store(lambda store: store.rules.remove(id, who, now))

    # --- parts -----------------------------------------------------------------------------------------------------

    async def _decide(
        self,
        id: str,
        verdict: Verdict,
        seen: Seen,
        who: str,
        why: str,
        answer: HeldMessage | None = None,
        sends: bool = False,
    ) -> HoldView:
        give = None if answer is None else lambda: answer
        steps = self._desk.decide(id, verdict, who, seen=seen, why=why, sends=sends, answer=give)
        await self._or_conflict(id, self._desk.whole(steps))
        return await self.shown(id)

    async def _or_conflict(self, id: str, steps: Coroutine[Any, Any, object]) -> None:
        try:
            await steps
        except Stale as stale:
            raise Conflict(str(stale), await self.shown(id)) from None

    def _view(self, store: Store, id: str) -> HoldView:
        hold = store.hold(id)
        return hold_of(hold, store.messages, store.request(hold), store.audit.of(id), self._desk.row(hold))


def _current(store: Store, id: str) -> tuple[Messages, HeldMessage]:
    return store.messages, store.messages.current(store.hold(id))


def _query_for(store: Store, id: str) -> str:
    hold = store.hold(id)
    return query_for(store.messages.current(hold), store.request(hold))


def _undone(pieces: Iterator[bytes], decoder: Decoder) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.decode(piece)
    decoder.finish()

"""What the desk keeps, and the steps a hold may take; every step that is told of is on the disk before.

    put ──> waiting ── decide ──> decided ── settle ──> settled ── purge ──> gone
               ^  └ edit ┘           │ begin_attempt, put_off
               └────── reopen ───────┘

One thread at a time. `now` is the wall clock. Raises sqlite3.Error and OSError when the disk does not take it; then
nothing has changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Set
from typing import NamedTuple

from interpose.core.hold import Decision, Held, HeldMessage, Mode, Settled, Verdict
from interpose.storage.desk.audit import Audit
from interpose.storage.desk.contents import HOLD_ID, Contents, Damaged
from interpose.storage.desk.kept import COLUMNS, Kept, State, kept, media_type, packed, unpacked
from interpose.storage.desk.messages import ANSWER, ORIGINAL, Messages
from interpose.storage.desk.place import Place
from interpose.storage.desk.rules import Rules
from interpose.storage.desk.secrets import SECRET_FIELDS

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""Methods of requests that may be sent twice (RFC 9110, 9.2.2)."""

UNTOLD_S = 86400.0
"""After so long a released message is settled, though whoever sent it on never told how that went."""

_DONE = {Verdict.RELEASE: "released", Verdict.DROP: "dropped", Verdict.ANSWER: "answered"}


class NoSuchHold(LookupError):
    """There is no hold with this id."""


class Full(Exception):
    """The desk takes no more. `status` is that of the answer; the text is a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Stale(Exception):
    """What somebody wants to do was decided on something else than is there now. The text is a sentence."""


class Room(NamedTuple):
    """How much a desk takes: holds that are not settled yet, and octets of all that it keeps."""

    max_holds: int = 10_000
    max_bytes: int = 10 << 30


ROOM = Room()


class Seen(NamedTuple):
    """What somebody saw who decides: the version and the digest of its message."""

    version: int
    digest: bytes


class Store:
    """The desk in `directory`. ValueError, a sentence, when it cannot be opened; `problem` when it was damaged."""

    def __init__(self, directory: str, room: Room = ROOM, secret_fields: Set[bytes] = SECRET_FIELDS) -> None:
        self._place = Place(directory)
        self._database = self._place.open()
        self.messages = Messages(self._database, Contents(directory))
        self._room = room
        self._secret_fields = secret_fields
        self._has_secrets_in_log = True
        self.audit = Audit(self._database)
        self.rules = Rules(self._database, self.audit)
        self.problem = self._place.problem
        try:
            self.messages.sweep()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database and give the directory back."""
        self._database.close()
        self._place.close()

    # --- looking ---------------------------------------------------------------------------------------------------

    def hold(self, id: str) -> Kept:
        """The hold `id`. NoSuchHold, or Damaged."""
        row = self._database.one(f"SELECT {COLUMNS} FROM holds WHERE id = ?", id)
        if row is None:
            raise NoSuchHold(f"There is no hold {id!r}.")
        return kept(row)

    def holds(self, states: tuple[State, ...], limit: int) -> list[Kept]:
        """Holds in these states, the newest first."""
        if len(states) == 1:
            return self._all("state = ? ORDER BY n DESC LIMIT ?", states[0], limit)
        # Of more than one the index of states would have all to be sorted; from the newest on, most are meant.
        marks = ", ".join("?" * len(states))
        return self._all(f"+state IN ({marks}) ORDER BY n DESC LIMIT ?", *states, limit)

    def unsettled(self) -> list[Kept]:
        """All that is not over."""
        return self._all("state IN (?, ?)", State.WAITING, State.DECIDED)

    def waiting(self) -> int:
        """How many wait for a decision."""
        return self._database.number("SELECT COUNT(*) FROM holds WHERE state = ?", State.WAITING)

    def request(self, hold: Kept) -> HeldMessage | None:
        """(of a held response) The request that it answers. Damaged."""
        row = self._database.one("SELECT request FROM holds WHERE n = ?", hold.n)
        return None if row is None or row["request"] is None else unpacked(row["request"])

    def held(self, hold: Kept) -> Held:
        """What was held, with its message as it is now. Damaged."""
        return Held(
            id=hold.id, message=self.messages.current(hold), mode=hold.mode, rule=hold.rule, exchange=hold.exchange,
            listener=hold.listener, route=hold.route, client=hold.client, user=hold.user, at=hold.at,
            timeout_s=hold.timeout_s, on_timeout=hold.on_timeout, request=self.request(hold),
        )  # fmt: skip

    # --- changing --------------------------------------------------------------------------------------------------

    def put(self, held: Held) -> Kept:
        """Take in a hold. Full when there is no room; ValueError for one that nobody of ours can have made."""
        if HOLD_ID.fullmatch(held.id) is None:
            raise ValueError(f"no id of a hold: {held.id!r}")
        if self._database.one("SELECT 1 FROM holds WHERE id = ?", held.id) is not None:
            raise ValueError(f"there is a hold {held.id!r} already")
        size = held.message.content.size
        self._make_sure_that_one_more_fits()
        self._make_sure_of_room(size)
        file = ""
        if held.message.content.file:
            file = self.messages.contents.adopt(held.id, held.message.content)
        request = None if held.request is None else packed(held.request, "")
        message = held.message
        values = {
            "id": held.id, "what": held.message.what, "mode": held.mode, "rule": held.rule, "exchange": held.exchange,
            "listener": held.listener, "route": held.route, "client_host": held.client[0],
            "client_port": held.client[1], "user": held.user, "at": held.at, "timeout_s": held.timeout_s,
            "on_timeout": held.on_timeout, "request": request, "version": ORIGINAL, "digest": message.digest,
            "method": message.method, "target": message.target, "status": message.status, "type": media_type(message),
            "size": size,
        }  # fmt: skip
        try:
            with self._database.transaction():
                marks = ", ".join("?" * len(values))
                cursor = self._database.execute(
                    f"INSERT INTO holds ({', '.join(values)}) VALUES ({marks})", *values.values()
                )
                assert cursor.lastrowid is not None
                self.messages.put(cursor.lastrowid, ORIGINAL, message, file)
                self.audit.add(held.at, "interpose", "held", held.id, ORIGINAL, message.digest, held.rule)
        except BaseException:
            self.messages.remove_files([file])
            raise
        return self.hold(held.id)

    def edit(self, id: str, version: int, change: Callable[[HeldMessage], HeldMessage], who: str, now: float) -> Kept:
        """Make a new version of a message that somebody saw as `version`. Stale when it is another one by now.

        `change` may raise; its content, when it is a new one, is in memory. An edit without a difference makes none.
        """
        hold = self.hold(id)
        if hold.state is not State.WAITING:
            raise Stale(f"Hold {id} was decided meanwhile.")
        if hold.version != version:
            raise Stale(f"Hold {id} was edited meanwhile: it is at version {hold.version}, and {version} was seen.")
        before = self.messages.current(hold)
        after = change(before)
        if after.digest == hold.digest:
            return hold
        if after.content != before.content:
            self._make_sure_of_room(after.content.size)
        after, file = self.messages.stored(hold, version + 1, before, after)
        files = self.messages.files(hold.n)
        try:
            with self._database.transaction():
                self._database.execute("DELETE FROM messages WHERE hold = ? AND version > ?", hold.n, ORIGINAL)
                self.messages.put(hold.n, version + 1, after, file)
                self._database.execute(
                    "UPDATE holds SET version = ?, digest = ?, method = ?, target = ?, status = ?, type = ?, size = ? "
                    "WHERE n = ?",
                    version + 1, after.digest, after.method, after.target, after.status, media_type(after),
                    after.content.size, hold.n,
                )  # fmt: skip
                self.audit.add(now, who, "edited", id, version + 1, after.digest)
        except BaseException:
            self.messages.remove_files({file} - files)
            raise
        self.messages.remove_files(files - self.messages.files(hold.n))
        return self.hold(id)

    def decide(
        self,
        id: str,
        verdict: Verdict,
        seen: Seen | None,
        who: str,
        now: float,
        *,
        why: str = "",
        sends: bool = False,
        answer: Callable[[], HeldMessage] | None = None,
    ) -> tuple[Kept, Decision]:
        """Decide on what somebody saw; None: on what is there. Stale when that is something else, or decided already.

        Every octet that is released was hashed again here, and is what `seen` says. `sends`: the desk sends it, though
        its client had waited.
        """
        hold = self.hold(id)
        if hold.state is not State.WAITING:
            raise Stale(f"Hold {id} was decided already: {_DONE.get(hold.verdict or Verdict.DROP)} by {hold.by}.")
        if seen is not None and seen != (hold.version, hold.digest):
            raise Stale(
                f"Hold {id} was edited meanwhile: it is at version {hold.version}, and {seen.version} was seen."
            )
        ours = verdict is Verdict.RELEASE and (sends or hold.mode is Mode.ACCEPT)
        message, file, digest = None, "", hold.digest
        if verdict is Verdict.RELEASE:
            message = self.messages.verified(hold)
        elif answer is not None:
            message, file = self.messages.stored(hold, ANSWER, None, answer())
            digest = message.digest
        try:
            with self._database.transaction():
                if verdict is Verdict.ANSWER and message is not None:
                    self.messages.put(hold.n, ANSWER, message, file)
                self._database.execute(
                    "UPDATE holds SET state = ?, verdict = ?, by = ?, why = ?, decided = ?, ours = ?, outcome = NULL, "
                    "attempts = 0, next_try = ? WHERE n = ?",
                    State.DECIDED, verdict, who, why, now, ours, now if ours else None, hold.n,
                )  # fmt: skip
                self.audit.add(now, who, "sent" if ours and hold.mode is Mode.WAIT else _DONE[verdict], id,
                               hold.version, digest, why)  # fmt: skip
        except BaseException:
            self.messages.remove_files([file])
            raise
        if message is not None:
            message = self.messages.located(message, file)
        decision = Decision(verdict=verdict, by=who, version=hold.version, digest=digest, message=message, why=why)
        return self.hold(id), decision

    def settle(self, id: str, how: Settled, who: str, now: float) -> Kept:
        """It is over: say how, and take away its secrets and what it was before it was edited. Twice is once."""
        hold = self.hold(id)
        if hold.state is not State.DECIDED:
            return hold
        files = self.messages.files(hold.n)
        outcome = how.failure or (f"answered with {how.status}" if how.status else "done")
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM messages WHERE hold = ? AND version = ? AND version != ?", hold.n, ORIGINAL, hold.version
            )
            self.messages.take_secrets(hold, self._secret_fields)
            self._database.execute(
                "UPDATE holds SET state = ?, settled = ?, outcome_status = ?, outcome = ?, under_way = 0, "
                "next_try = NULL WHERE n = ?",
                State.SETTLED, now, how.status, outcome, hold.n,
            )  # fmt: skip
            self.audit.add(now, who, "settled", id, hold.version, hold.digest, outcome)
        self._has_secrets_in_log = True
        self.messages.remove_files(files - self.messages.files(hold.n))
        return self.hold(id)

    def reopen(self, id: str, why: str, who: str, now: float) -> Kept:
        """Let a decided hold wait again, since what was decided did not come about; `why` says so."""
        hold = self.hold(id)
        if hold.state is State.DECIDED and hold.verdict is Verdict.RELEASE:
            with self._database.transaction():
                self._reopen(hold, why, who, now)
        return self.hold(id)

    def abandon(self, id: str, why: str, now: float) -> Kept:
        """Nobody waits for it any more: it has no deadline from now on."""
        hold = self.hold(id)
        if hold.state is State.WAITING:
            with self._database.transaction():
                self._abandon(hold, why, now)
        return self.hold(id)

    def recover(self, now: float) -> None:
        """After a start: nobody waits for what waits, and what was being sent may have arrived or not."""
        waiting = self._all("state = ? AND mode = ? AND timeout_s > 0 OR outcome IS NULL AND state = ? AND mode = ?",
                            State.WAITING, Mode.WAIT, State.WAITING, Mode.WAIT)  # fmt: skip
        decided = self._all("state = ?", State.DECIDED)
        with self._database.transaction():
            for hold in waiting:
                self._abandon(hold, "The program ended, and its client has gone.", now)
            for hold in decided:
                if hold.verdict is Verdict.RELEASE and (why := _uncertain(hold)):
                    self._reopen(hold, why, "interpose", now)
        for hold in decided:
            if hold.verdict in (Verdict.DROP, Verdict.ANSWER):
                self.settle(hold.id, Settled(failure=_DONE[hold.verdict]), "interpose", now)

    # --- sending ---------------------------------------------------------------------------------------------------

    def begin_attempt(self, id: str) -> tuple[Kept, Held]:
        """Note that it is being sent from now on, so that a program that dies meanwhile finds that it may have been."""
        hold = self.hold(id)
        self.messages.verified(hold)
        held = self.held(hold)
        with self._database.transaction():
            self._database.execute("UPDATE holds SET under_way = 1, attempts = attempts + 1 WHERE n = ?", hold.n)
        return self.hold(id), held

    def put_off(self, id: str, until: float, why: str, now: float) -> Kept:
        """Note that it was not delivered and is tried again at `until`."""
        hold = self.hold(id)
        with self._database.transaction():
            self._database.execute(
                "UPDATE holds SET under_way = 0, next_try = ?, outcome = ? WHERE n = ?", until, why, hold.n
            )
            self.audit.add(now, "interpose", "not delivered", id, hold.version, hold.digest, why)
        return self.hold(id)

    # --- keeping house ---------------------------------------------------------------------------------------------

    def purge(self, settled_before: float, abandoned_before: float, now: float) -> list[str]:
        """Remove what was settled before one time, drop what nobody waits for since another; ids of what is
        over by this and was not."""
        rows = self._database.execute(
            "SELECT n FROM holds WHERE settled IS NOT NULL AND settled < ? LIMIT 1000", settled_before
        ).fetchall()
        for (n,) in rows:
            files = self.messages.files(n)
            with self._database.transaction():
                self._database.execute("DELETE FROM holds WHERE n = ?", n)
            self.messages.remove_files(files)
        old = self._all("state = ? AND mode = ? AND timeout_s = 0 AND outcome IS NOT NULL AND at < ?",
                        State.WAITING, Mode.WAIT, abandoned_before)  # fmt: skip
        for hold in old:
            self.decide(hold.id, Verdict.DROP, None, "deadline", now, why="Nobody waited for it any more.")
            self.settle(hold.id, Settled(failure="dropped"), "deadline", now)
        untold = self._all("state = ? AND ours = 0 AND decided < ?", State.DECIDED, now - UNTOLD_S)
        for hold in untold:
            self.settle(hold.id, Settled(failure="nobody said how it went on"), "interpose", now)
        if rows or self._has_secrets_in_log:
            self._database.checkpoint()
            self._has_secrets_in_log = False
        return [hold.id for hold in (*old, *untold)]

    # --- parts -----------------------------------------------------------------------------------------------------

    def _all(self, which: str, *values: object) -> list[Kept]:
        found = []
        for row in self._database.execute(f"SELECT {COLUMNS} FROM holds WHERE {which}", *values).fetchall():
            with contextlib.suppress(Damaged):  # it is told of when it is asked for by its id
                found.append(kept(row))
        return found

    def _reopen(self, hold: Kept, why: str, who: str, now: float) -> None:
        self._database.execute(
            "UPDATE holds SET state = ?, verdict = '', by = '', why = '', decided = NULL, ours = 0, under_way = 0, "
            "next_try = NULL, timeout_s = 0, outcome = ? WHERE n = ?",
            State.WAITING, why, hold.n,
        )  # fmt: skip
        self.audit.add(now, who, "waits again", hold.id, hold.version, hold.digest, why)

    def _abandon(self, hold: Kept, why: str, now: float) -> None:
        self._database.execute("UPDATE holds SET timeout_s = 0, outcome = ? WHERE n = ?", why, hold.n)
        self.audit.add(now, "interpose", "client left", hold.id, hold.version, hold.digest, why)

    def _make_sure_that_one_more_fits(self) -> None:
        open_holds = self._database.number(
            "SELECT COUNT(*) FROM holds WHERE state IN (?, ?)", State.WAITING, State.DECIDED
        )
        if open_holds >= self._room.max_holds:
            raise Full(503, f"{open_holds} messages wait at the desk already, which is the most that it takes.")

    def _make_sure_of_room(self, size: int) -> None:
        taken = self._database.number("SELECT bytes FROM taken")
        if taken + size > self._room.max_bytes:
            raise Full(507, f"The desk keeps {taken} octets already; with {size} more it would be above its limit of "
                       f"{self._room.max_bytes}.")  # fmt: skip


def _uncertain(hold: Kept) -> str:
    """(after a start) What is not known of a hold that was released; "" when it can simply be sent again."""
    if not hold.ours:
        return f"It was released by {hold.by}, and the program ended before it was known whether it went on."
    if hold.under_way and hold.method not in IDEMPOTENT:
        return "The program ended while it was being sent: it may have arrived."
    return ""

"""A desk in memory, whose decisions a test makes."""

import asyncio

from interpose.core.failure import Failure
from interpose.core.hold import Decision, Held, HeldMessage, Settled, Standing, Verdict


class FakeDesk:
    """Holds what it is given until `decide`. `refusal` is raised instead of holding, when it is set."""

    def __init__(self) -> None:
        self.held: list[Held] = []
        self.accepted: list[Held] = []
        self.left: list[str] = []
        self.leaving: asyncio.Queue[str] = asyncio.Queue()
        self.told: list[tuple[str, Settled]] = []
        self.refusal: Failure | None = None
        self.standings: dict[str, Standing] = {}
        self._news = asyncio.Condition()
        self._waiting: dict[str, asyncio.Future[Decision]] = {}

    async def hold(self, held: Held) -> Decision:
        if self.refusal is not None:
            raise self.refusal
        waiting = self._waiting[held.id] = asyncio.get_running_loop().create_future()
        self.held.append(held)
        async with self._news:
            self._news.notify_all()
        try:
            return await waiting
        except asyncio.CancelledError:
            self.left.append(held.id)
            self.leaving.put_nowait(held.id)
            raise

    async def accept(self, held: Held) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.accepted.append(held)

    def settled(self, id: str, how: Settled) -> None:
        self.told.append((id, how))

    async def standing(self, id: str) -> Standing | None:
        return self.standings.get(id)

    async def one(self, number: int = 0) -> Held:
        """The hold of that number, once there is one."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.held) > number)
        return self.held[number]

    def decide(self, held: Held, verdict: Verdict, message: HeldMessage | None = None, **rest: object) -> None:
        """What becomes of `held`; released without another message it is what it was."""
        message = message or (held.message if verdict is Verdict.RELEASE else None)
        digest = b"" if message is None else message.digest
        decision = Decision(verdict=verdict, message=message, digest=digest, **{"by": "ann", **rest})  # type: ignore[arg-type]
        self._waiting[held.id].set_result(decision)

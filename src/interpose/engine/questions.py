"""What the supervisor asks its workers, and what they answer: opaque here, a question and an answer of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from interpose.engine.child import Child
from interpose.engine.messages import Ask, Told

ANSWER_TIMEOUT_S = 20.0


class Questions:
    """Questions that are open. A worker that ends, or says nothing in time, is not waited for any longer."""

    def __init__(self) -> None:
        self._number = 0
        self._open: dict[tuple[Child, int], asyncio.Future[bytes | None]] = {}

    async def ask(
        self,
        children: Sequence[Child],
        question: bytes,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        in_turn: bool = True,
    ) -> list[bytes]:
        """What each of `children` answers, in their order, without those that do not."""
        self._number += 1
        number = self._number
        loop = asyncio.get_running_loop()
        asked = {(child, number): loop.create_future() for child in children}
        self._open.update(asked)
        try:
            for child in children:
                child.send(Ask(number, question, in_turn))
            if asked:
                await asyncio.wait(asked.values(), timeout=timeout_s)
        finally:
            for key in asked:
                self._open.pop(key, None)
        answers = [answer.result() for answer in asked.values() if answer.done()]
        return [answer for answer in answers if answer is not None]

    def told(self, child: Child, message: Told) -> None:
        """A worker answers."""
        self._settle((child, message.number), message.answer)

    def gone(self, child: Child) -> None:
        """A worker has ended."""
        for key in [key for key in self._open if key[0] is child]:
            self._settle(key, None)

    def _settle(self, key: tuple[Child, int], answer: bytes | None) -> None:
        waiting = self._open.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

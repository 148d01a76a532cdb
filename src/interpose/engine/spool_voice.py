"""How the sender of a file is spoken to: in lines of text, or in the messages of the framed form."""

from __future__ import annotations

from typing import Protocol

from interpose.core.failure import Failure
from interpose.engine.intake import Intake
from interpose.protocol.spool_frame import (
    SERVER_OPENING,
    Answer,
    Message,
    Refused,
    Resume,
    Stored,
    encode,
    refusal_line,
)

LINGER_S = 30.0
"""How long somebody who is refused may go on sending before the connection is closed."""


class Voice(Protocol):
    """One sender. It may have left: then nothing is said, and nothing is raised."""

    async def stored(self, size: int, sha256: str) -> None:
        """It is on the disk."""

    async def answer(self, text: bytes) -> None:
        """The last word, and the end."""

    async def refuse(self, why: str, *, is_final: bool) -> None:
        """It is not taken; the end."""


class PlainVoice:
    """Whoever sends bytes and waits gets one answer, a line for people when it is ours."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def stored(self, size: int, sha256: str) -> None:
        """Nothing yet: there is one answer, the last one."""

    async def answer(self, text: bytes) -> None:
        """See `Voice`."""
        await say(self._intake, text)
        self._intake.stream.close()

    async def refuse(self, why: str, *, is_final: bool) -> None:
        """See `Voice`."""
        await say(self._intake, refusal_line(why))
        await leave(self._intake)


class FramedVoice:
    """Senders that speak the framed form. The server's opening goes before its first word."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._opening = SERVER_OPENING

    async def _say(self, message: Message) -> None:
        opening, self._opening = self._opening, b""
        await say(self._intake, opening + encode(message))

    async def resume(self, offset: int) -> None:
        """Ask for what is missing."""
        await self._say(Resume(offset))

    async def stored(self, size: int, sha256: str) -> None:
        """See `Voice`."""
        await self._say(Stored(size, bytes.fromhex(sha256)))

    async def answer(self, text: bytes) -> None:
        """See `Voice`."""
        await self._say(Answer(text))
        self._intake.stream.close()

    async def refuse(self, why: str, *, is_final: bool) -> None:
        """See `Voice`."""
        await self._say(Refused(why, is_final))
        await leave(self._intake)


async def leave(intake: Intake) -> None:
    """End in such a way that the last word arrives: to close while the sender is still sending would be to reset the
    connection, and what it has not read yet would be lost."""
    intake.stream.end()
    await intake.drain(LINGER_S)
    intake.stream.close()


async def say(intake: Intake, data: bytes) -> None:
    """Send, unless the sender has left."""
    try:
        await intake.write(data)
    except Failure:
        return

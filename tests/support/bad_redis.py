"""A Redis that misbehaves in one way, on a Unix socket: `async with BadRedis("silent") as bad`.

It answers what a node asks before it believes that the server is there, unless its misbehaviour is about that.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

NOTHING_YET = {b"PING": b"+PONG\r\n", b"XRANGE": b"*0\r\n", b"XREVRANGE": b"*0\r\n", b"XLEN": b":0\r\n"}

STATES = {
    "refuses": None,  # nobody listens
    "silent": b"",
    "closes": None,
    "garbage": b"\x00\xffHTTP/1.1 400 Bad Request\r\n\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "no-auth": b"-NOAUTH Authentication required.\r\n",
    "read-only": b"-READONLY You can't write against a read only replica.\r\n",
    "wrong-type": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "wrong-answer": b":1\r\n",
    "wrong-shape": b"*3\r\n$1\r\na\r\n*1\r\n:7\r\n$-1\r\n",
    "oom": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "half": b"*2\r\n$16\r\n0123456789abcdef\r\n$100000\r\nbegins",
}
FROM_THE_START = ("refuses", "silent", "closes", "garbage", "loading", "no-auth")


class BadRedis:
    """See the module. `commands` counts what it was asked."""

    def __init__(self, state: str) -> None:
        assert state in STATES
        self.state = state
        self.directory = Path(tempfile.mkdtemp(prefix="bad-redis-"))
        self.url = f"unix://{self.directory}/redis.sock"
        self.commands = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> BadRedis:
        if self.state != "refuses":
            self._server = await asyncio.start_unix_server(self._serve, str(self.directory / "redis.sock"))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.close()
            await self._server.wait_closed()
            async with asyncio.timeout(10):
                while self._writers:  # noqa: ASYNC110 - they end one by one
                    await asyncio.sleep(0.005)
        shutil.rmtree(self.directory, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while self.state != "closes":
                words = await self._command(reader)
                self.commands += 1
                writer.write(self._answer(words))
                if self.state == "half" and words[0] not in NOTHING_YET and words[0] != b"XREAD":
                    await writer.drain()
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._writers.discard(writer)

    def _answer(self, words: list[bytes]) -> bytes:
        if self.state not in FROM_THE_START:
            if words[0] == b"XREAD":
                return b"*-1\r\n" if b"BLOCK" not in words else b""  # nothing new, for ever
            if words[0] in NOTHING_YET:
                return NOTHING_YET[words[0]]
        answer = STATES[self.state]
        assert answer is not None
        return answer

    async def _command(self, reader: asyncio.StreamReader) -> list[bytes]:
        count = int((await reader.readuntil(b"\r\n"))[1:])
        words = []
        for _ in range(count):
            length = int((await reader.readuntil(b"\r\n"))[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        return words

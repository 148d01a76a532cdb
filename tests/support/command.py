"""A command that ends by itself, run beside servers of the same loop: what goes in, what comes out, its exit status.

`await command("connect", address, stdin=b"x")` is all of it at once; `async with begun("connect", address) as running`
is for conversations: `running.say(data)`, `await running.until(b"x")`, `running.end()`, `await running.ends()`.
`async with typing("connect", address) as person` gives it a terminal for all three.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

INTERPOSE = str(Path(sys.executable).with_name("interpose"))
DEADLINE_S = 30.0
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
    "TERM": "xterm",
    "NO_COLOR": "1",
    "COLUMNS": "100",
}


class Said(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    out: bytes
    err: str


async def command(*arguments: str, stdin: bytes = b"", deadline_s: float = DEADLINE_S, **options: Any) -> Said:
    """Run a command to its end."""
    async with begun(*arguments, **options) as running:
        async with asyncio.timeout(deadline_s):
            out, err = await running.process.communicate(stdin)
        assert running.process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Said(running.process.returncode, out, err.decode())


class Running:
    """A command with pipes for standard input, output and error."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.out = b""

    def say(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def until(self, needle: bytes) -> bytes:
        """All of standard output, once `needle` is in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while needle not in self.out:
                data = await self.process.stdout.read(65536)
                assert data, f"ended with {self.out!r}"
                self.out += data
        return self.out

    async def ends(self) -> Said:
        """Wait until it has ended by itself."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            out, err = await asyncio.gather(self.process.stdout.read(), self.process.stderr.read())
            self.out += out
            return Said(await self.process.wait(), self.out, err.decode())


@asynccontextmanager
async def begun(*arguments: str, **options: Any) -> AsyncIterator[Running]:
    """A command that is killed at the latest when it is left."""
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "env": ENVIRONMENT, **options}
    process = await asyncio.create_subprocess_exec(INTERPOSE, *arguments, **pipes)
    try:
        yield Running(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Person:
    """Somebody at a terminal."""

    def __init__(self, process: Process, terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self.seen = b""
        """Everything that the terminal was given, what was typed included (it echoes)."""
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._look)

    def _look(self) -> None:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # nobody has the other side open any more
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self.seen += data
        self._changed.set()

    def types(self, data: bytes) -> None:
        """Type; Ctrl-D is b"\\x04", Ctrl-C b"\\x03"."""
        os.write(self._terminal, data)

    async def sees(self, needle: bytes) -> bytes:
        """All that was seen, once `needle` is in it."""
        return await self.when(lambda: needle in self.seen)

    async def when(self, condition: Callable[[], bool]) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        return self.seen

    async def ends(self) -> int:
        """The exit status."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    def leave(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)


@asynccontextmanager
async def typing(*arguments: str, **options: Any) -> AsyncIterator[Person]:
    """A command with a terminal of its own."""
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **options}
    # A session of its own, with the terminal for its own, so that Ctrl-C typed there reaches it.
    process = await asyncio.create_subprocess_exec("setsid", "--ctty", INTERPOSE, *arguments, env=ENVIRONMENT, **ends)
    os.close(theirs)
    person = Person(process, ours)
    try:
        yield person
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        person.leave()

"""Where `interpose get` writes: standard output, or a file that has its name only once it is whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpose.cli.client_options import check_output, is_terminal
from interpose.cli.standard_streams import Outlet
from interpose.cli.terminal_text import TerminalText
from interpose.core.body import Body
from interpose.core.failure import Failure
from interpose.core.fields import Fields

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

STDOUT, STDERR = 1, 2
LONG_BYTES = 1 << 20
"""From this length on, and without a length, a person is shown how far it is."""


class Destination:
    """A `Sink` for content. `with Destination(path)`: without `keep` nothing is left of a file ("" is standard output).

    What exists and is no plain file (a device, a named pipe) is written to as it is. OSError when it cannot be.
    """

    def __init__(self, path: str) -> None:
        self._target: Path | None = None
        self._temporary = ""
        self._descriptor = STDOUT
        self._on_drain: Callable[[], None] | None = None
        self._progress: tuple[Progress, TaskID] | None = None
        self.written = 0
        self.over: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        if not path:
            check_output()
        else:
            self._open(Path(path).resolve())
        shows = not path and is_terminal(STDOUT)
        self.outlet = Outlet(self._descriptor, TerminalText() if shows else None)
        """What takes the bytes, for those that are not content."""

    def _open(self, target: Path) -> None:
        try:
            is_plain = stat.S_ISREG(target.stat().st_mode)
        except FileNotFoundError:
            is_plain = True
        if not is_plain:
            self._descriptor = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
            return
        self._target = target
        self._descriptor, self._temporary = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)

    def __enter__(self) -> Destination:
        return self

    def __exit__(self, *_: object) -> None:
        if self._temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)
        # A descriptor that a thread may still write to is not closed under its hands: the process is about to end.

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        self.written += len(chunk)
        if self._progress is not None:
            bar, task = self._progress
            bar.update(task, completed=self.written)
        return self.outlet.write(chunk)

    @property
    def on_drain(self) -> Callable[[], None] | None:
        """See `core.body.Sink`."""
        return self.outlet.on_drain

    @on_drain.setter
    def on_drain(self, function: Callable[[], None] | None) -> None:
        self.outlet.on_drain = function

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        if not self.over.done():
            self.over.set_result(None)

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        if not self.over.done():
            self.over.set_result(failure)

    async def keep(self) -> None:
        """Wait until everything is written, and give the file its name. OSError."""
        await self.outlet.finish()
        if self._target is None:
            return
        os.fchmod(self._descriptor, _mode_of(self._target))
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        os.replace(self._temporary, self._target)
        self._temporary = ""

    async def flush(self) -> None:
        """Wait until standard output has what came, before something is said beside it."""
        if self._target is None:
            with contextlib.suppress(OSError):
                await self.outlet.finish()

    @contextlib.contextmanager
    def progress(self, length: int | None) -> Iterator[None]:
        """Show how far it is, on standard error, while inside: when a file is written, a person looks, and it is
        long."""
        is_long = length is None or length >= LONG_BYTES
        if self._target is None or not is_long or not is_terminal(STDERR):
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns: tuple[Any, ...] = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(True))
        console = Console(file=sys.stderr, highlight=False)
        with Progress(*columns, Speed(), TimeRemainingColumn(), console=console) as bar:
            self._progress = (bar, bar.add_task(_shown_name(self._target), total=length))
            try:
                yield
            finally:
                self._progress = None


class Nothing:
    """A `Sink` that throws away; `over` as with a `Destination`."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.over: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        return True

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        self.over.set_result(None)

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        self.over.set_result(failure)


async def pour(body: Body, sink: Destination | Nothing) -> None:
    """Let all of `body` flow into `sink`. `Failure` when it breaks off."""
    if body.is_complete:
        sink.write(body.take())
        return
    body.pipe(sink)
    failure = await sink.over
    if failure is not None:
        raise failure


def _mode_of(target: Path) -> int:
    """The permissions that the file has, or that a new one would have."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _shown_name(target: Path) -> str:
    from interpose.cli.say import printable

    return printable(target.name)

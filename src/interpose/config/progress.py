"""Progress bars on a terminal's standard error, while something is being transferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """Shows transfers (an `engine.spool_work.Meter`). Nothing stays on the terminal of those that are over."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._shown = 0

    def begin(self, label: str, total: int | None, done: int = 0) -> Bar:
        """A transfer begins."""
        if self._progress is None:
            self._progress = _progress()
        if self._shown == 0:
            self._progress.start()
        self._shown += 1
        return Bar(self, self._progress, self._progress.add_task(label, total=total, completed=done))

    def ended(self, task: TaskID) -> None:
        """(bar) It is over."""
        assert self._progress is not None
        self._progress.remove_task(task)
        self._shown -= 1
        if self._shown == 0:
            self._progress.stop()
            self._progress = None  # the next one begins on a line of its own


class Bar:
    """The bar of one transfer."""

    def __init__(self, bars: Bars, progress: Progress, task: TaskID) -> None:
        self._bars = bars
        self._progress = progress
        self._task = task
        self._is_over = False

    def advance(self, count: int) -> None:
        """So many bytes more."""
        self._progress.advance(self._task, count)

    def end(self) -> None:
        """It is over, one way or the other."""
        if not self._is_over:
            self._is_over = True
            self._bars.ended(self._task)


def _progress() -> Progress:
    """A bar with name, share, bytes, pace and time left. (Loaded when there is something to show.)"""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

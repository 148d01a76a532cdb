"""What is wrong with an instance, in sentences, each with the place to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interpose.storage.journal.thread import JournalThread

LATELY_S: Final = 60.0
RESTARTS_LATELY_S: Final = 600.0


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, and where on the page there is more about it ("" for nowhere)."""

    text: str
    link: str = ""


class Grown(msgspec.Struct):
    """A count that should not grow: what it was some time ago."""

    span_s: float
    values: deque[tuple[float, float]] = msgspec.field(default_factory=deque)

    def look(self, value: float, at: float) -> None:
        """The count is `value` now. Called once a second, so `values` has one for each second of the span."""
        self.values.append((at, value))
        while self.values[0][0] < at - self.span_s:
            self.values.popleft()

    @property
    def by(self) -> int:
        """How much it has grown lately."""
        return max(0, round(self.values[-1][1] - self.values[0][1])) if self.values else 0


class Seen:
    """Counts of what should not happen."""

    def __init__(self) -> None:
        self.dropped = Grown(LATELY_S)
        self.disk = Grown(LATELY_S)
        self.link = Grown(LATELY_S)
        self.failures = Grown(LATELY_S)
        self.requests = Grown(LATELY_S)
        self.restarts = Grown(RESTARTS_LATELY_S)
        self.scripts = Grown(LATELY_S)

    def look(self, status: Mapping[str, Any], journal: JournalThread | None, at: float) -> None:
        """(once a second) Take down where they stand."""
        counters = status.get("counters", {})
        self.restarts.look(status.get("restarts", 0), at)
        self.link.look(counters.get("records_dropped_total", 0.0), at)
        self.failures.look(counters.get("failures_total", 0.0), at)
        self.requests.look(counters.get("requests_total", 0.0), at)
        self.scripts.look(counters.get("script_errors_total", 0.0), at)
        if journal is not None:
            self.dropped.look(journal.dropped, at)
            self.disk.look(journal.failures, at)


def problems_of(status: Mapping[str, Any], seen: Seen, at: float) -> Iterator[Problem]:
    """What is wrong, the worst first."""
    workers = status.get("workers", ())
    dead = [worker for worker in workers if worker.get("state") == "dead"]
    if dead:
        yield Problem(text=f"{_count(len(dead), 'worker')} of {len(workers)} cannot be started.")
    if seen.restarts.by:
        yield Problem(text=f"Workers were started again {_times(seen.restarts.by)} in the last ten minutes.")
    errors = status.get("reloads", {}).get("errors", ())
    if errors:
        yield Problem(text=f"The last reload failed, and the old configuration goes on: {errors[0]}")
    yield from _problems_of_scripts(status.get("counters", {}), seen)
    if seen.disk.by:
        yield Problem(text="The journal cannot be written to; what passes now is not recorded.")
    lost = seen.dropped.by + seen.link.by
    if lost:
        yield Problem(text=f"{_count(lost, 'record')} of the last minute were lost: more came than can be written.")
    if seen.failures.by >= 10 and seen.failures.by * 10 >= seen.requests.by:
        yield Problem(
            text=f"{_count(seen.failures.by, 'exchange')} failed in the last minute.", link="#/flows?q=is:error age:<1m"
        )


def _problems_of_scripts(counters: Mapping[str, float], seen: Seen) -> Iterator[Problem]:
    if counters.get("scripts_broken"):
        yield Problem(text="A script has changed and cannot be loaded; the old one goes on. Below is why.")
    if counters.get("script_functions_off"):
        yield Problem(text="Functions of scripts are not called at the moment, since they fail. Below is which.")
    elif seen.scripts.by:
        yield Problem(text=f"Scripts had {_count(seen.scripts.by, 'error')} in the last minute. Below is where.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"

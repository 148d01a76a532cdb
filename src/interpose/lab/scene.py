"""What happens in an experiment, as it happens: who did what, what went where, and what came of it.

An experiment gets a `Scene`. The actors that it makes there (`lab/actors.py`) leave an event with everything they do;
the experiment adds what only it knows. Afterwards the events become a sequence diagram, and facts and exhibits are
printed below it. What differs from run to run (ports that the kernel chose, times) is known as such, so that a page of
the manual can show a stand-in.
"""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from interpose.core.printable import printable
from interpose.net.blocking import Watch

SHOWN_BYTES = 40
"""Of what was sent, so much is quoted; of more, the size."""


class Kind(enum.Enum):
    """What an event is."""

    NOTE = "something that one part does by itself"
    ARROW = "something that goes from one part to another and arrives"
    LOST = "something that is sent and does not arrive"
    TITLE = "a new chapter of the same experiment"


class Event(NamedTuple):
    """One line of the diagram. `at_s` counts from the beginning of the experiment."""

    kind: Kind
    source: str
    target: str
    text: str
    at_s: float


class Fact(NamedTuple):
    """A row of the table below the diagram. `stand_in` is for the manual when the value differs from run to run."""

    name: str
    value: str
    stand_in: str | None


class Exhibit(NamedTuple):
    """Bytes worth reading, line by line."""

    title: str
    lines: tuple[str, ...]


class Differs(Exception):
    """The outcome is not the one that the experiment states; the sentence says what should have been."""


class Scene:
    """The record of one run. `parts` are the columns of the diagram, from left to right."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.events: list[Event] = []
        self.facts: list[Fact] = []
        self.exhibits: list[Exhibit] = []
        self.products: set[str] = set()
        """The parts that are Interpose itself: what they do is drawn by whoever is on the other side."""
        self.cleanup = ExitStack()
        """Closes what the actors opened, when the experiment is over."""
        self.watch: Watch | None = None
        """Is told what the sockets of actors do."""
        self._owners: dict[int, str] = {}
        self._stand_ins: dict[int, int] = {}
        self._begin = time.monotonic()

    def begin(self, *parts: str) -> None:
        """Name the columns, and count time from now on."""
        self.parts = parts
        self._begin = time.monotonic()

    def did(self, who: str, what: str) -> None:
        """`who` did something by itself."""
        self._add(Kind.NOTE, who, who, what)

    def sent(self, source: str, target: str, what: str, *, at_s: float | None = None) -> None:
        """Something went from `source` to `target`, now or at the time `at_s`."""
        self._add(Kind.ARROW, source, target, what, at_s)

    def lost(self, source: str, target: str, what: str) -> None:
        """Something went off from `source` and never reached `target`."""
        self._add(Kind.LOST, source, target, what)

    def title(self, text: str) -> None:
        """What follows is another try."""
        self._add(Kind.TITLE, "", "", text)

    def fact(self, name: str, value: str, stand_in: str | None = None) -> None:
        """Something measured or known at the end."""
        self.facts.append(Fact(name, value, stand_in))

    def show(self, title: str, data: bytes) -> None:
        """A message as it was sent, line by line."""
        lines = data.split(b"\n")
        ended = [printable(line + b"\n") for line in lines[:-1]] + [printable(lines[-1])]
        self.exhibits.append(Exhibit(title, tuple(line for line in ended if line)))

    def expect(self, holds: bool, sentence: str) -> None:
        """`sentence` is what the experiment states; unless it holds, the experiment has failed."""
        if not holds:
            raise Differs(sentence)

    def own(self, port: int, who: str, *, stand_in: int | None = None) -> None:
        """`port` belongs to `who`; a page of the manual calls it `stand_in`, or the next number from 50001."""
        self._owners[port] = who
        taken = self._stand_ins.values()
        self._stand_ins[port] = stand_in or next(n for n in range(50001, 65536) if n not in taken)

    def owner_of(self, port: int, otherwise: str) -> str:
        """Whose port it is."""
        return self._owners.get(port, otherwise)

    @property
    def product_ports(self) -> list[int]:
        """The ports on which Interpose listened."""
        return [port for port, owner in self._owners.items() if owner in self.products]

    def knows(self, port: int) -> bool:
        """Whether somebody owns `port`."""
        return port in self._owners

    def steady(self, text: str) -> str:
        """`text` with stand-ins for ports, the same after every run."""
        return _PORT.sub(lambda found: str(self._stand_ins.get(int(found[0]), found[0])), text)

    def now_s(self) -> float:
        """Seconds since the experiment began."""
        return time.monotonic() - self._begin

    def _add(self, kind: Kind, source: str, target: str, text: str, at_s: float | None = None) -> None:
        self.events.append(Event(kind, source, target, text, self.now_s() if at_s is None else at_s))


_PORT = re.compile(r"(?<![\d.])(?<!\d,)\d{4,5}(?!\d|,\d)")
"""What may be a port in a text. Sizes from a thousand up are written with a comma, so that none is taken for one."""


def first_line(data: bytes) -> str:
    """The line that a message begins with."""
    return printable(data.partition(b"\r\n")[0])


def quoted(data: bytes) -> str:
    """What was sent, readable and short: `"Foobar\\n"`, or the beginning and the size."""
    if not data:
        return 'b""'
    if len(data) <= SHOWN_BYTES:
        return f'"{printable(data)}"'
    return f'"{printable(data[: SHOWN_BYTES // 2])}…", {size(len(data))}'


def size(count: int) -> str:
    """A number of bytes in words."""
    return f"{count:,} byte{'' if count == 1 else 's'}"


def error_of(call: Callable[[], object]) -> str:
    """The kernel's name for why `call` failed (`ECONNREFUSED`), "" when it did not."""
    import errno

    try:
        call()
    except TimeoutError as error:
        return errno.errorcode.get(error.errno or 0, "ETIMEDOUT")
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""

"""One firewall process: `python -m interpose.filters.firewall.process DESCRIPTOR`.

It has one end of a socket pair, reads a message, thinks, answers, and reads the next: no loop, no thread. Its worker
looks at the time, and kills it when it takes too long; it ends by itself when its worker is gone. Requests that were
let pass wait for their answers under their numbers, the oldest being forgotten when there are too many.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from interpose.core.record import field_pairs
from interpose.filters.firewall.library import Library, Transaction
from interpose.filters.firewall.log_lines import NO_SUMS, LogLines
from interpose.filters.firewall.messages import (
    Answer,
    Broken,
    Forget,
    Inspect,
    Ready,
    Setup,
    ToProcess,
    ToWorker,
    Verdict,
    decode_for_process,
    encode,
)
from interpose.filters.firewall.reasons import Match, Scores
from interpose.protocol.number import decimal

_SPACES = re.compile(r"\s+")
MOST_WAITING = 4096
MOST_MEMORY_BYTES = 1 << 30
"""A rule that takes more than that ends its process."""
MOST_AT_ONCE = 1 << 18
PR_SET_PDEATHSIG = 1
OWN = "own.conf"
"""The file with our own directives: they stand in one, so that their messages have its name, too."""


class Rules:
    """Rules that are loaded, and the transactions that wait for their answers."""

    def __init__(self, setup: Setup) -> None:
        """ValueError, one line a sentence, when they cannot be loaded."""
        self._lines: list[bytes] = []
        self._waiting: dict[int, tuple[Transaction, list[Match], Scores]] = {}
        try:
            self._library = Library(setup.library, self._lines.append)
        except OSError:
            raise ValueError(
                f"{setup.library} cannot be loaded; install libmodsecurity3, or name the library"
            ) from None
        with links_to(setup.links) as secret:
            self._log = LogLines(secret)
            text = setup.text
            for name in setup.links:
                text = text.replace(f"Include {{{name}}}/", f"Include {secret}/{name}/")
            with open(f"{secret}/{OWN}", "w", encoding="utf-8") as file:
                file.write(text)
            self._rules, self.count, problem = self._library.load(f"Include {secret}/{OWN}")
        if problem:
            for name, place in setup.links.items():
                problem = problem.replace(f"{secret}/{name}", place)
            raise ValueError(sentence(problem))

    def inspect(self, asked: Inspect) -> Verdict:
        """What the rules say about a request."""
        self._lines.clear()
        transaction = Transaction(self._library, self._rules, asked.flags)
        line = (asked.method, asked.target, asked.version)
        status = transaction.request(asked.client, asked.local, line, field_pairs(asked.fields), asked.body)
        if not asked.awaits_answer or status:
            return self._ended(asked.number, transaction, status)
        matches, (inbound, outbound) = self._said()
        while len(self._waiting) >= MOST_WAITING:
            self.forget(next(iter(self._waiting)))
        self._waiting[asked.number] = (transaction, matches, inbound)
        return Verdict(asked.number, 0, True, inbound, outbound, matches)

    def answer(self, asked: Answer) -> Verdict:
        """What they say about its answer."""
        self._lines.clear()
        waiting = self._waiting.pop(asked.number, None)
        if waiting is None:
            return Verdict(asked.number, 0, False, *NO_SUMS, [])
        transaction, _, _ = waiting
        status = transaction.answer(asked.status, field_pairs(asked.fields), asked.body)
        return self._ended(asked.number, transaction, status)

    def forget(self, number: int) -> None:
        """No answer will come."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting[0].end()

    def _ended(self, number: int, transaction: Transaction, status: int) -> Verdict:
        """The verdict, with nothing to come. What sums up is only asked where something was said."""
        if self._lines:
            transaction.finish()
        matches, (inbound, outbound) = self._said()
        transaction.end()
        return Verdict(number, status, True, inbound, outbound, matches)

    def _said(self) -> tuple[list[Match], tuple[Scores, Scores]]:
        """What the library has said since it was asked: matches, and the last sums."""
        matches, sums = [], NO_SUMS
        for line in self._lines:
            told = self._log.sums(line)
            if told is not None:
                sums = told
            elif (match := self._log.match(line)) is not None:
                matches.append(match)
        return matches, sums


@contextmanager
def links_to(places: dict[str, str]) -> Iterator[str]:
    """A directory with a name that nobody can guess, and links to `places` in it."""
    with tempfile.TemporaryDirectory(prefix="interpose-") as parent:
        secret = os.path.join(parent, os.urandom(16).hex())
        os.mkdir(secret, 0o700)
        for name, place in places.items():
            os.symlink(os.path.abspath(place), os.path.join(secret, name))
        yield secret


def sentence(problem: str) -> str:
    """What the library says about rules that it cannot load: `File: x. Line: 3. Column: 4. why`."""
    said = _SPACES.sub(" ", problem.removeprefix("Rules error. ")).strip(" ")
    file, _, rest = said.removeprefix("File: ").partition(". Line: ")
    line, _, rest = rest.partition(". Column: ")
    why = rest.partition(". ")[2]
    where = "the directives made of [firewall]" if file.endswith(f"/{OWN}") or not file else file
    return f"{where}, line {line}: {why}" if why else said


class Link:
    """This end of the socket pair: frames with their length before them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = bytearray()

    def read(self) -> ToProcess | None:
        """The next message; None when the worker is gone."""
        while len(self._data) < 4 or len(self._data) < 4 + self._length():
            piece = os.read(self._descriptor, MOST_AT_ONCE)
            if not piece:
                return None
            self._data += piece
        end = 4 + self._length()
        frame = bytes(memoryview(self._data)[4:end])
        del self._data[:end]
        message: ToProcess = decode_for_process(frame)
        return message

    def write(self, message: ToWorker) -> None:
        """Send a message. OSError when the worker is gone."""
        frame = encode(message)
        data = memoryview(len(frame).to_bytes(4, "big") + frame)
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _length(self) -> int:
        return int.from_bytes(self._data[:4], "big")


def serve(link: Link) -> int:
    """Answer until the worker is gone; the exit status."""
    setup = link.read()
    if not isinstance(setup, Setup):
        return 0 if setup is None else 2
    try:
        rules = Rules(setup)
    except ValueError as error:
        link.write(Broken(tuple(str(error).split("\n"))))
        return 2
    link.write(Ready(rules.count))
    while (message := link.read()) is not None:
        match message:
            case Inspect():
                link.write(rules.inspect(message))
            case Answer():
                link.write(rules.answer(message))
            case Forget(number):
                rules.forget(number)
    return 0


def check() -> int:
    """Load the rules that standard input describes (a `Setup`), and print what is wrong with them; the exit status."""
    setup = decode_for_process(sys.stdin.buffer.read())
    assert isinstance(setup, Setup)
    try:
        print(Rules(setup).count)
    except ValueError as error:
        print(error)
        return 2
    return 0


def main(arguments: Sequence[str]) -> int:
    """Be a firewall process, or (`check`) look whether one could be; the exit status."""
    if list(arguments) == ["check"]:
        return check()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # it ends when its worker does
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # also in the middle of a thought
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    descriptor = decimal("".join(arguments).encode())
    if descriptor is None:
        print("This is started by a worker, and has nothing to do by itself.", file=sys.stderr)
        return 2
    try:
        return serve(Link(descriptor))
    except OSError:
        return 0  # the worker is gone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

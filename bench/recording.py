"""What it costs to record every exchange, for all processes of a peer and for its workers alone.

The text of a record is indexed when there is time for it, by the thread that writes. So what of its CPU time went into
the index is asked of the instance, and told apart.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from bench import cpu, memory
from bench.measure import WARM_UP_S, Bench, oddities
from bench.peers import Peer, Role, Running
from bench.process import MeasureError
from bench.results import Measurement

CONNECTIONS = 32
ASK_DEADLINE_S = 20.0
SETTLE_S = 15.0
LOOK_S = 1.5  # longer than it takes an instance to count again


@dataclass(frozen=True, slots=True)
class Journal:
    """What an instance says of its journal so far."""

    written: int = 0
    dropped: int = 0
    index_cpu_s: float = 0.0


def recorded(peer: Peer, bench: Bench) -> Measurement:
    """CPU seconds per answer while everything is recorded, without those for indexes of text."""
    with bench.started(peer, Role.RECORDING) as answering:
        program = answering.program
        bench.load(answering, "/1k", connections=CONNECTIONS, seconds=WARM_UP_S)
        journal_before, before = _settled(answering), cpu.snapshot(program.pids())
        seen = bench.load(answering, "/1k", connections=CONNECTIONS, seconds=bench.seconds)
        if not seen.requests:
            raise MeasureError("gave no answer under load")
        journal, after = _settled(answering), cpu.snapshot(program.pids())
        used = cpu.spent(before, after)
        parent, *workers = program.pids()
        used_s = sum(used.values())
        indexing_s = journal.index_cpu_s - journal_before.index_cpu_s
        notes = oddities(seen, is_whole=before.keys() <= after.keys())
        notes += _in_words(journal_before, journal, seen.requests, indexing_s)
        return Measurement(
            cost=(used_s - indexing_s) / seen.requests,
            rate_per_s=seen.requests / seen.seconds,
            p50_us=seen.p50_us,
            p99_us=seen.p99_us,
            pss_bytes=memory.pss_bytes(program.pids()),
            busy=used_s / seen.seconds,
            worker_cost=sum(used[pid] for pid in workers) / seen.requests if workers else used[parent] / seen.requests,
            notes=notes,
        )


def _in_words(before: Journal, after: Journal, requests: int, indexing_s: float) -> list[str]:
    notes = []
    if after.written:
        notes.append(f"{(after.written - before.written) / requests:.1%} of the exchanges are in the journal")
    if indexing_s:
        notes.append(f"indexing meanwhile took {indexing_s / requests * 1e6:.0f} µs more for each")
    if after.dropped:
        notes.append(f"{after.dropped} records were dropped")
    return notes


def _settled(answering: Running) -> Journal:
    """What it says once nothing more is written: what waited belongs to what was measured."""
    last, deadline = _journal(answering), time.monotonic() + SETTLE_S
    while last.written and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        now = _journal(answering)
        if now.written == last.written:
            return now
        last = now
    return last


def _journal(answering: Running) -> Journal:
    """What the control socket says; zeros where there is none, or no journal."""
    sockets = list(answering.setup.directory.glob("state/*/control.sock"))
    if not sockets:
        return Journal()
    with contextlib.closing(_Unix(sockets[0])) as connection:
        connection.request("GET", "/v1/overview")
        answer = connection.getresponse()
        said = answer.read()
    if answer.status != 200:
        return Journal()
    journal = json.loads(said)["journal"]
    return Journal(journal["records"], journal["dropped_total"], journal["index_cpu_s"])


class _Unix(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ASK_DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        """See the class."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ASK_DEADLINE_S)
        self.sock.connect(str(self._path))

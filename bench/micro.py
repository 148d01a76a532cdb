"""What one exchange costs inside the process, without sockets: `script/bench --micro`.

The chain is the one that a configuration makes; its transport is a fake one: a request arrives by a call, and what is
written is counted and dropped. So what is measured is the code between the event loop's callback and its write, which
is where work on speed has its effect: neither the kernel nor the load blurs it. The figure is CPU time of all threads,
the log's writer included.

    answer   a gateway's fixed answer of 1 KiB: the frame alone
    recorded the same with a recorder; its batches are encoded, and nobody takes them
    metered  the first with its exchanges counted for `/metrics`
    memory   the same out of a cache in memory
    disk     1024 such answers, in turns, out of a cache on disk where another process stored them; there is memory for
             a sixth of them
    rules    the first behind 1,000 access rules, none of which means it
    names    the first behind a block list of 100,000 domains
    filters  the first behind one of 100,000 filters, 1024 URLs in turns; a third of their words stand in filters
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.load import head
from bench.origin import KIB
from bench.peers import ROOT
from interpose.config.load import config_of
from interpose.config.runtime import Prepared, WorkerRuntime
from interpose.engine.memory_ladder import MemoryLevel
from interpose.net.stream import SocketStream

CASES = ("answer", "recorded", "metered", "memory", "disk", "rules", "names", "filters")
CACHED = ("memory", "disk")
AMONG = {"disk": 1024, "filters": 1024}
RULES, LISTED = 1000, 100_000
HOST = "www.example.org"
WARM_UP = 3000
FILL_DEADLINE_S = 30
SETTLE_S = 5.0


class FakeTransport(asyncio.Transport):
    """Takes what is written and drops it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 50000), "sockname": ("127.0.0.1", 8080)})
        self.writes = 0
        self.last = b""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def is_closing(self) -> bool:
        """Never."""
        return False

    def write(self, data: Any) -> None:
        """Count it, and keep the last."""
        self.writes += 1
        self.last = data


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench --micro", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="what to measure (all)")
    parser.add_argument("--exchanges", type=int, default=20000, help="exchanges in a round (20000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts (5)")
    parser.add_argument("--profile", action="store_true", help="where the time goes, by function (cProfile)")
    parser.add_argument("--fill", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.fill:
        uvloop.run(_fill(Path(options.fill)))
        return 0
    for case in options.only:
        with tempfile.TemporaryDirectory(prefix="micro-") as directory:
            if case == "disk":
                command = [sys.executable, "-m", "bench.micro", "--fill", directory]
                subprocess.run(command, cwd=ROOT, check=True, timeout=FILL_DEADLINE_S)
            uvloop.run(_measure(case, Path(directory), options))
    return 0


async def _measure(case: str, directory: Path, options: argparse.Namespace) -> None:
    async with _gateway(case, directory) as (receive, transport):
        requests = _requests(case)
        _ask(receive, requests, WARM_UP)
        _check(case, transport.last)
        figures = []
        for _ in range(options.rounds):
            answered, begin = transport.writes, time.process_time()
            _ask(receive, requests, options.exchanges)
            figures.append((time.process_time() - begin) / options.exchanges * 1e6)
            if transport.writes - answered != options.exchanges:
                raise SystemExit(f"micro: {transport.writes - answered} answers to {options.exchanges} requests")
            await asyncio.sleep(0)
        print(f"{case:8} {statistics.median(figures):6.2f} µs  ({min(figures):.2f} to {max(figures):.2f})", flush=True)
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(_ask, receive, requests, options.exchanges)
            pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(30)


async def _fill(directory: Path) -> None:
    """Store the answers on disk, and be gone."""
    async with _gateway("disk", directory) as (receive, transport):
        deadline = time.monotonic() + SETTLE_S
        for request in _requests("disk"):
            while True:
                answered = transport.writes
                receive(request)
                while transport.writes == answered:  # noqa: ASYNC110 - a few turns of the loop
                    await asyncio.sleep(0)
                if b"; hit;" in transport.last:
                    break
                if time.monotonic() > deadline:
                    raise SystemExit("micro: the answers were not stored")


def _requests(case: str) -> list[bytes]:
    if case == "filters":
        return [head(f"/{_word(7 * n)}/unlisted{n}/page{n % 9}?{_word(n)}=1", HOST) for n in range(AMONG[case])]
    return [head(f"/1k?{number}", HOST) for number in range(AMONG.get(case, 1))]


def _ask(receive: Callable[[bytes], None], requests: list[bytes], count: int) -> None:
    for _ in range(count // len(requests)):
        for request in requests:
            receive(request)
    for request in requests[: count % len(requests)]:
        receive(request)


def _check(case: str, answer: bytes) -> None:
    """That what is measured is what it is called."""
    if not answer.startswith(b"HTTP/1.1 200 ") or (b"; hit;" in answer) != (case in CACHED):
        raise SystemExit(f"micro: {case} answers {answer[:200]!r}")


@contextlib.asynccontextmanager
async def _gateway(case: str, directory: Path) -> AsyncIterator[tuple[Callable[[bytes], None], FakeTransport]]:
    """What takes the bytes of a connection to a gateway in this process, and where its answers go."""
    config = config_of(_tables(case, directory))
    runtime = WorkerRuntime(config)
    await runtime.start({})
    chain: Any = cast(Prepared, runtime.prepare(config)).chains["front"]
    server = chain.make_server(0)
    chain.install(server, MemoryLevel.OK)
    transport = FakeTransport()
    stream = SocketStream(server)
    stream.connection_made(transport)
    stream.data_received(_requests(case)[0])
    while not transport.writes:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    yield stream.data_received, transport
    stream.connection_lost(None)
    await runtime.stop()


def _tables(case: str, directory: Path) -> dict[str, Any]:
    """The configuration, as tables of a file."""
    tables: dict[str, Any] = {
        "log": {"access": str(directory / "access.log")},
        "listener": [{"name": "front", "address": "127.0.0.1:0", "role": "gateway"}],
        "route": [{"path": "/", "answer": {"text": "x" * KIB}}],
    }
    if case == "recorded":
        tables["journal"] = {}
    if case == "metered":
        tables["metrics"] = {}
    if case == "rules":
        tables["access"] = [{"when": _rule(number), "action": "deny"} for number in range(RULES)]
    if case in ("names", "filters"):
        line = {"names": _name, "filters": _filter}[case]
        file = directory / "list"
        file.write_text("".join(f"{line(number)}\n" for number in range(LISTED)))
        kind = "domains" if case == "names" else case
        tables["process"] = {"state_dir": str(directory), "name": "micro"}
        tables["blocklist"] = [{"name": "list", "file": str(file), "format": kind}]
    if case in CACHED:
        tables["listener"][0]["cache"] = "kept"
        on_disk = {"dir": str(directory / "kept"), "disk_bytes": 1 << 26, "memory_bytes": 1 << 20}
        where = on_disk if case == "disk" else {}
        tables["cache"] = [{"name": "kept", "ttl_s": 3600, **where}]
    return tables


def _word(number: int) -> str:
    """One of some thousand words."""
    return f"w{number * 2654435761 % 6007:x}"


def _rule(number: int) -> str:
    hosts = (f"host:*.n{number}.example", f"from:10.{number % 250}.{number % 7}.0/24 port:443")
    return (*hosts, f"user:u{number} method:POST", f"host:n{number}.example path:/admin/*")[number % 4]


def _name(number: int) -> str:
    return f"{_word(number)}-{number}.example"


def _filter(number: int) -> str:
    """As filter lists have them: domains in others' pages for the most part, then paths, parameters, exceptions."""
    one, other = _word(number), _word(number // 7)
    kinds = (f"||{one}-{number}.example^$third-party", f"/{one}/{other}.js", f"&{one}_{other}=")
    return (*kinds, f"||{one}{other}.example/{other}/*$image,script", f"@@||{one}{number}.example^$document")[
        (0, 0, 0, 0, 0, 1, 1, 2, 3, 4)[number % 10]
    ]


if __name__ == "__main__":
    sys.exit(main())

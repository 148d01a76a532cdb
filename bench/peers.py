"""A peer: a program that is found, configured, started, and asked for its log."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench.datagrams import wait_until_answering
from bench.process import MeasureError, Program, free_port, running

ROOT = Path(__file__).resolve().parent.parent
START_DEADLINE_S = 20.0


class Role(Enum):
    """What a peer is asked to be."""

    GATEWAY = "gateway"
    TLS_GATEWAY = "gateway with TLS"
    PROXY = "forward proxy"
    TUNNEL = "tunnel"
    RELAY = "TCP relay"
    DATAGRAMS = "UDP relay"
    CACHE = "gateway with a cache in memory"
    DISK_CACHE = "gateway with a cache on disk"
    COMPRESSING = "gateway that compresses with gzip"
    RECORDING = "gateway that records"
    INTERCEPTING = "forward proxy that looks into TLS"
    FIREWALL = "gateway with the Core Rule Set"


@dataclass(frozen=True, slots=True)
class Setup:
    """One start of one peer: where it listens, what stands behind it, and a directory of its own."""

    role: Role
    port: int
    upstream: int
    directory: Path
    certificate: Path
    key: Path
    workers: int = 1

    @property
    def log(self) -> Path:
        """The access log, one line per request."""
        return self.directory / "access.log"

    @property
    def output(self) -> Path:
        """What the peer prints."""
        return self.directory / "output"


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to measure: how to find it, configure it and learn its version."""

    name: str
    find: Callable[[], str | None]
    prepare: Callable[[str, Setup], list[str]]
    version: tuple[str, ...]
    logs_to_output: bool = False
    workers: int = 1

    def version_text(self) -> str:
        """The first version number that it prints, or that it is absent."""
        path = self.find()
        if path is None:
            return "absent"
        try:
            result = subprocess.run([path, *self.version], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        number = re.search(r"\d+\.\d+(\.\d+)?", result.stdout + result.stderr)
        return number.group() if number else "unknown"


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that answers: its program, its port and its log."""

    peer: Peer
    setup: Setup
    program: Program

    def log_lines(self) -> int:
        """Lines of the access log so far."""
        path = self.setup.output if self.peer.logs_to_output else self.setup.log
        if not path.exists():
            return 0
        with path.open("rb") as log:
            return sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 20), b""))


@contextlib.contextmanager
def started(peer: Peer, setup: Setup, *, again: bool = False) -> Iterator[Running]:
    """The peer, accepting connections; `MeasureError` says in one sentence why it does not. What it leaves in its
    directory stays when it is to be started `again` there."""
    path = peer.find()
    if path is None:
        raise MeasureError("not installed")
    setup.directory.mkdir(parents=True, exist_ok=True)
    setup.directory.chmod(0o777)  # Squid, started by root, gives its rights up before it opens its logs
    command = peer.prepare(path, setup)
    with running(command, directory=setup.directory, output=setup.output) as process:
        if setup.role is Role.DATAGRAMS:
            wait_until_answering(setup.port, deadline_s=START_DEADLINE_S)
        else:
            process.wait_until_accepting(setup.port, deadline_s=START_DEADLINE_S)
        yield Running(peer, setup, process)
    if not again:
        shutil.rmtree(setup.directory, ignore_errors=True)


def fresh_setup(peer: Peer, role: Role, *, upstream: int, directory: Path, certificate: tuple[Path, Path]) -> Setup:
    """A setup with a free port and a directory that nobody used before."""
    port = free_port()
    return Setup(role, port, upstream, directory / f"{peer.name}-{port}", *certificate, workers=peer.workers)

"""An example with servers of its own, started as its first lines say, on addresses that nobody else has.

    with started("shop", tmp_path, listeners=4) as program:
        program.servers()        the processes of its servers, by upstream

Its ports are those of the file, on an address of 127.0.0.0/8 that belongs to this process.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.program import Program, children_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def own_address() -> str:
    """An address of this machine that no other process uses, since it is made of this one's number."""
    pid = os.getpid()
    return f"127.{1 + (pid >> 16)}.{pid >> 8 & 255}.{pid & 255}"


class Started(Program):
    """The program, which has its servers for children."""

    @property
    def servers(self) -> dict[str, list[int]]:
        """Process ids by upstream, in the order of the file."""
        found: dict[str, list[int]] = {}
        for pid in sorted(children_of(self.process.pid)):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"--serve" in words:
                found.setdefault(words[-3].decode(), []).append(pid)
        return found


def started(name: str, directory: Path, *, listeners: int, changes: Mapping[str, str] | None = None) -> Started:
    """The example `name` with some of its text changed: all of `changes` must be there."""
    place = directory / name
    shutil.copytree(EXAMPLES / name, place, ignore=shutil.ignore_patterns("__pycache__"))
    file = place / "interpose.toml"
    text = file.read_text().replace("127.0.0.1:", f"{own_address()}:")
    for old, new in (changes or {}).items():
        assert old in text, f"{old} is not in {file}"
        text = text.replace(old, new)
    file.write_text(text)
    command = (sys.executable, str(EXAMPLES / "start.py"))
    return Started(directory / "run", str(place), command=command, console=True, listeners=listeners)

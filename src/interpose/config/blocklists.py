"""Block lists, as far as they are made from a configuration: which hold where, where they are kept, who loads them.

    STATE/<name>/blocklists/NAME.list       what was fetched         NAME.json   when, and what its server said of it
                            set-….lists     the lists of a listener, compiled for all workers
                            key             seals the links and cookies of those who go there anyway

The supervisor fetches and compiles (`config.blocklist_keeper`); a worker loads what is compiled, and loads it again
when it changes, in a thread. Where nothing is compiled yet it compiles by itself what is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from interpose.config.load import state_dir
from interpose.config.model import OPEN_ROLES, Config, Listener
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.core.handler import Phase
from interpose.filters.blocklist.bypass import Bypass
from interpose.filters.blocklist.filter import BlockLists, Render
from interpose.filters.blocklist.lists import FORM, CompiledLists, Lists, compile_lists
from interpose.filters.blocklist.options import BlockList
from interpose.filters.meter import Counts
from interpose.storage.durable import DIRECTORY, replace_file

log = logging.getLogger("interpose")

COUNTED_AS = "blocklist"
"""What the hits of lists are counted as."""

LOOK_S = 1.0
"""How often a worker looks whether there is something newer."""

ROLES = ("gateway", *OPEN_ROLES)
"""The roles whose listeners have block lists."""


def lists_for(config: Config, listener: Listener) -> tuple[BlockList, ...]:
    """The lists of `listener`, in their order."""
    if listener.role not in ROLES:
        return ()
    return tuple(one for one in config.blocklists if not one.listeners or listener.name in one.listeners)


def directory_of(config: Config) -> Path:
    """Where this instance keeps what it fetches and compiles."""
    return state_dir(config.process.state_dir) / config.process.name / "blocklists"


def steps_of(config: Config, listener: Listener, parts: Parts, render: Render) -> list[Step]:
    """The filter, where there are any."""
    lists = lists_for(config, listener)
    names = ", ".join(one.name for one in lists)
    make = partial(block_lists_of, config, listener, parts, render)
    return [Step(Phase.ADMIT, "block lists", names, make)] if lists else []


def block_lists_of(config: Config, listener: Listener, parts: Parts, render: Render) -> BlockLists:
    """What keeps clients of `listener` from what is on its lists. ValueError when they cannot be loaded."""
    lists = lists_for(config, listener)
    directory = directory_of(config)
    source = parts.get(KeptLists, (str(directory), lists), partial(KeptLists, directory, lists))
    bypass = Bypass(key_in(directory)) if any(one.bypass for one in lists) else None
    return BlockLists(source, bypass, render, {one.name: _hit(one.name, parts) for one in lists})


def _hit(name: str, parts: Parts) -> Callable[[], None]:
    counts = parts.every(Counts)
    return counts[0].of(("rule", (COUNTED_AS, name)), shown=True).hit if counts else _uncounted


def _uncounted() -> None:
    """(where nothing serves: `explain`)"""


class KeptLists:
    """(`filters.blocklist.filter.Source`) The lists of a set as they are now. ValueError when they cannot be loaded."""

    def __init__(
        self, directory: Path, options: tuple[BlockList, ...], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = compiled_path(directory, options)
        self._options = options
        self._clock = clock
        self._seen = signature(self._path)
        compiled = read_compiled(self._path, options)
        if compiled is None:
            compiled = compile_lists(options, *read_texts(directory, options))
        self._lists = Lists(options, compiled)
        self._next_look = clock() + LOOK_S
        self._loading: asyncio.Future[None] | None = None

    @property
    def lists(self) -> Lists:
        """See `Source`."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            self._look()
        return self._lists

    def _look(self) -> None:
        seen = signature(self._path)
        if seen == self._seen or (self._loading is not None and not self._loading.done()):
            return
        self._seen = seen
        self._loading = asyncio.get_running_loop().run_in_executor(None, self._load)

    def _load(self) -> None:
        """(in a thread) Load it anew; one that cannot be read leaves what is there."""
        try:
            compiled = read_compiled(self._path, self._options)
            if compiled is not None:
                self._lists = Lists(self._options, compiled)
        except Exception:
            log.exception("the compiled block lists in %s cannot be loaded, the old ones go on", self._path)


def compiled_path(directory: Path, options: Sequence[BlockList]) -> Path:
    """Where the compiled lists of a set are: what else they say than names and formats is no part of it."""
    names = "\n".join(f"{one.name} {one.format}" for one in options)
    return directory / f"set-{hashlib.sha256(names.encode()).hexdigest()[:16]}.lists"


def read_compiled(path: Path, options: Sequence[BlockList]) -> CompiledLists | None:
    """The compiled lists of a set; None when there are none that can be used."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        compiled = msgspec.msgpack.decode(path.read_bytes(), type=CompiledLists)
        if compiled.form == FORM and [one.facts.name for one in compiled.lists] == [one.name for one in options]:
            return compiled
    return None


def read_texts(directory: Path, options: Sequence[BlockList]) -> tuple[Mapping[str, str], bytes]:
    """The texts of the lists that are there, by name, and a digest of all of it. Blocks."""
    texts: dict[str, str] = {}
    digest = hashlib.sha256()
    for one in options:
        with contextlib.suppress(OSError):
            data = place_of(directory, one).read_bytes()
            texts[one.name] = data.decode("utf-8", "replace")
            digest.update(f"{one.name} {one.format} {len(data)}\n".encode() + data)
    return texts, digest.digest()


def place_of(directory: Path, one: BlockList) -> Path:
    """The file that a list is in."""
    return Path(one.file) if one.file is not None else kept_path(directory, one)


def kept_path(directory: Path, one: BlockList) -> Path:
    """Where what was fetched of a list is kept."""
    return directory / f"{one.name}.list"


def write_file(directory: Path, name: str, data: bytes) -> None:
    """Make a file of the directory hold this, or leave it as it is (OSError). Whoever writes there too waits."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = os.open(directory, DIRECTORY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        replace_file(opened, name, data)
    finally:
        os.close(opened)


def key_in(directory: Path) -> bytes:
    """The key of this instance, made when there is none. ValueError when it can be neither read nor made."""
    path = directory / "key"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            beside = directory / f".key.{secrets.token_hex(8)}"
            beside.write_bytes(secrets.token_bytes(32))
            beside.chmod(0o600)
            with contextlib.suppress(FileExistsError):
                os.link(beside, path)  # the first one stays
            beside.unlink()
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be used: {(error.strerror or str(error)).lower()}.") from None


def signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

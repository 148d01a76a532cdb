"""Keeps block lists: fetches them again and again, and compiles them when they have changed, for all workers.

What is fetched takes the place of what is there only when it is a list: whole, no web page, and with rules in it.
Otherwise the old one goes on, the log says so, and it is tried again, first after a minute and then after ever longer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from interpose.config.blocklists import (
    compiled_path,
    directory_of,
    kept_path,
    lists_for,
    place_of,
    read_compiled,
    read_texts,
    signature,
    write_file,
)
from interpose.config.client import ReachOptions, own_exchange, requesting
from interpose.config.model import Config
from interpose.config.urls import page_of
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request
from interpose.core.version import __version__
from interpose.engine.follow import Follow
from interpose.filters.blocklist.engine import rules_of
from interpose.filters.blocklist.lists import CompiledLists, ListFacts, compile_lists
from interpose.filters.blocklist.names import read_names
from interpose.filters.blocklist.options import BlockList
from interpose.protocol.content_coding import Bounds, coding_of, decoded

log = logging.getLogger("interpose")

LOOK_S = 5.0
"""How often it is looked whether something is due, or a file has changed."""
FETCH_S = 120.0
CONNECT_S = 10.0
SILENCE_S = 30.0
MOST_REDIRECTS = 5
FIRST_RETRY_S = 60.0
LARGE = 1 << 20
"""Characters of lists that are worth a process."""
COMPILE_S = 60.0


class Fetched(msgspec.Struct):
    """What is known of a list that is fetched. Times are wall clock; 0 for never."""

    url: str = ""
    at: float = 0.0
    etag: str = ""
    last_modified: str = ""


class Due:
    """When a list is fetched next, and why it was not the last time."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.failures = 0
        self.problem = ""


class BlockListKeeper:
    """The `Service` of `config.office`."""

    def __init__(
        self, config: Config, wall: Callable[[], float] = time.time, look_s: float = LOOK_S, jitter: float = 0.1
    ) -> None:
        self._config = config
        self._present: Callable[[], Config] = lambda: self._config
        self._directory = directory_of(config)
        self._wall = wall
        self._look_s = look_s
        self._jitter = jitter
        self._due: dict[str, Due] = {}
        self._facts: dict[str, ListFacts] = {}
        self._seen: dict[Path, tuple[object, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `config.office.Service`: what is there already is compiled before a worker asks for it."""
        try:
            await asyncio.to_thread(self.compile)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ValueError(f"{self._directory} cannot be used: {why}.") from error

    async def begin(self, instance: Any) -> None:
        """See `config.office.Service`. A reload may bring other lists."""
        if (encoded := getattr(instance, "config", None)) is not None:
            self._present = lambda: msgspec.msgpack.decode(encoded(), type=Config)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `config.office.Service`."""
        raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody answers what is asked about {topic}.")

    async def close(self) -> None:
        """See `config.office.Service`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def rows(self) -> list[dict[str, Any]]:
        """How each list stands, for people."""
        rows = []
        for one in self._present().blocklists:
            facts, due = self._facts.get(one.name, ListFacts(one.name, 0)), self._due.get(one.name)
            fetched = self._fetched(one) if one.url else Fetched()
            rows.append(
                {
                    **msgspec.structs.asdict(facts),
                    "format": one.format,
                    "from": one.url or one.file,
                    "fetched_at": fetched.at,
                    "problem": due.problem if due is not None else "",
                }
            )
        return rows

    async def _run(self) -> None:
        while True:
            try:
                for one in self._present().blocklists:
                    if one.url:
                        await self._fetch_if_due(one)
                await asyncio.to_thread(self.compile)
            except OSError as error:
                log.warning("block lists: %s", error)
            except Exception:
                log.exception("block lists could not be looked at")
            await asyncio.sleep(self._look_s)

    def compile(self) -> None:
        """(in a thread) Compile each set of lists that has changed. Raises OSError."""
        config = self._present()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for options in dict.fromkeys(lists_for(config, listener) for listener in config.listeners):
            if options:
                self._compile_set(options)

    def _compile_set(self, options: tuple[BlockList, ...]) -> None:
        path = compiled_path(self._directory, options)
        files = [place_of(self._directory, one) for one in options]
        seen = tuple(map(signature, [path, *files]))
        if self._seen.get(path) == seen:
            return
        texts, sources = read_texts(self._directory, options)
        compiled = read_compiled(path, options)
        if compiled is None or compiled.sources != sources:
            compiled = self._compiled(options, path) if sum(map(len, texts.values())) > LARGE else None
            if compiled is None or compiled.sources != sources:
                compiled = compile_lists(options, texts, sources)
                write_file(self._directory, path.name, msgspec.msgpack.encode(compiled))
            log.info("block lists compiled: %s", in_words([one.facts for one in compiled.lists]))
        self._facts.update({one.facts.name: one.facts for one in compiled.lists})
        self._seen[path] = (signature(path), *seen[1:])

    def _compiled(self, options: tuple[BlockList, ...], path: Path) -> CompiledLists | None:
        """Large lists, compiled by a process of its own: nothing else would run here meanwhile, and the memory that it
        takes would stay. None when that comes to nothing."""
        command = [sys.executable, "-P", "-m", "interpose.config.blocklist_compile", str(self._directory)]
        try:
            subprocess.run(command, input=msgspec.msgpack.encode(options), timeout=COMPILE_S, check=True)
        except subprocess.SubprocessError as error:
            log.warning("block lists were not compiled in a process of their own: %s", error)
            return None
        return read_compiled(path, options)

    async def _fetch_if_due(self, one: BlockList) -> None:
        now = self._wall()
        due = self._due.get(one.name)
        if due is None:
            before = self._fetched(one)
            is_there = before.url == one.url and kept_path(self._directory, one).exists()
            due = self._due[one.name] = Due(before.at + one.refresh_s if is_there else 0.0)
        if now < due.at:
            return
        try:
            async with asyncio.timeout(FETCH_S):
                await self._fetch(one)
        except (Failure, ValueError, OSError) as error:
            due.problem = error.detail if isinstance(error, Failure) else str(error) or "it took too long"
            due.failures += 1
            due.at = now + min(FIRST_RETRY_S * 2 ** (due.failures - 1), one.refresh_s)
            log.warning("block list %s is not fetched, what is there goes on: %s", one.name, due.problem)
        else:
            due.problem, due.failures = "", 0
            due.at = now + one.refresh_s * (1 + self._jitter * (2 * random.random() - 1))

    async def _fetch(self, one: BlockList) -> None:
        """Fetch a list, and keep it when it is new and good. `Failure`, ValueError, OSError when it is neither."""
        page, before = page_of(one.url), self._fetched(one)
        fields = Fields([("User-Agent", f"interpose/{__version__}"), ("Accept-Encoding", "gzip")])
        if page.login is not None:
            fields.set("Authorization", b"Basic " + base64.b64encode(page.login))
        if before.url == one.url and kept_path(self._directory, one).exists():
            for name, value in (("If-None-Match", before.etag), ("If-Modified-Since", before.last_modified)):
                if value:
                    fields.set(name, value)
        follow = Follow(MOST_REDIRECTS, lambda response, redirect: None)
        async with requesting(ReachOptions(connect_timeout_s=CONNECT_S), silence_s=SILENCE_S) as ask:
            exchange = own_exchange(asyncio.get_running_loop().time())
            response = await follow(exchange, Request("GET", page.target, fields), ask)
            if response.status == 304:
                response.body.close()
                self._note(one, before.etag, before.last_modified)
                return
            if response.status != 200:
                response.body.close()
                raise ValueError(f"its server answered {response.status}")
            content = await response.body.read(one.max_bytes)
        coding = coding_of(response.fields.every(b"content-encoding"))
        content = await asyncio.to_thread(decoded, content, coding, Bounds(max_bytes=one.max_bytes))
        await asyncio.to_thread(check, one, content)
        write_file(self._directory, kept_path(self._directory, one).name, content)
        self._note(one, response.fields.get("ETag", ""), response.fields.get("Last-Modified", ""))

    def _note(self, one: BlockList, etag: str, last_modified: str) -> None:
        fetched = Fetched(one.url, self._wall(), etag, last_modified)
        write_file(self._directory, f"{one.name}.json", msgspec.json.encode(fetched))

    def _fetched(self, one: BlockList) -> Fetched:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(Path(self._directory / f"{one.name}.json").read_bytes(), type=Fetched)
        return Fetched()


def check(one: BlockList, content: bytes) -> None:
    """Nothing, when `content` is a list of the format that was announced; else ValueError, a sentence."""
    start = content[:1000].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError("what came is a web page and no list")
    text = content.decode("utf-8", "replace")
    if one.format == "filters":
        rules, read = rules_of(text)[1].rules, 0
    else:
        found = list(read_names(text, is_hosts=one.format == "hosts"))
        rules, read = sum(name is not None for name in found), len(found)
    if not rules or rules * 2 < read:
        raise ValueError(f"what came is no list of the format {one.format}: of {read} lines {rules} can be understood")


def in_words(facts: Sequence[ListFacts]) -> str:
    """What is in lists, for people."""
    return ", ".join(f"{one.name} with {one.rules} rules" for one in facts)

"""Static files: a Handler that answers with what is below a directory.

The disk is asked in threads, so that one that hangs stops nobody else. What is small stays in memory and is asked for
again once a second at most; what is large flows from the file in pieces, as its reader takes it. A version that was
compressed beforehand (`app.js.br`) is sent to who can read it, unless it is older than the plain file.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.handler import Answered
from interpose.core.message import Request, Response
from interpose.core.units import Bytes, Seconds
from interpose.engine.file_answer import FileContent, InMemory, OnDisk, answer_of
from interpose.engine.listing_page import listing_page
from interpose.protocol import http_date
from interpose.protocol.media_types import MEDIA_TYPES, media_type_of
from interpose.protocol.negotiation import best_coding
from interpose.storage.site import Directory, File, Listing, Site, Version

SiteFolder = Annotated[str, Meta(extra={"kind": "site"})]
FileName = Annotated[str, Meta(extra={"kind": "file_name"})]
TriedPath = Annotated[str, Meta(extra={"kind": "tried_path"})]
TypeOfEnding = Annotated[str, Meta(extra={"kind": "type_of_ending"})]

MOST_REMEMBERED = 4096
_COST_OF_ONE = 1024


class FilesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directory whose files are answered with."""

    root: SiteFolder
    """The directory. No link below it is followed."""

    index: tuple[FileName, ...] = ("index.html",)
    """What is answered for a directory: the first of these that is there."""

    tries: tuple[TriedPath, ...] = msgspec.field(default=(), name="try")
    """What is tried in turn where there is no such file: `{path}.html`, `/index.html`."""

    listing: bool = False
    """Whether a directory without an index is answered with the list of what is in it."""

    hidden: bool = False
    """Whether names that begin with a dot are to be had. `/.well-known` always is."""

    precompressed: tuple[Literal["br", "zstd", "gzip"], ...] = ("br", "zstd", "gzip")
    """Codings of which a file may lie beside the plain one (`.br`, `.zst`, `.gz`), the best first."""

    media_types: tuple[TypeOfEnding, ...] = ()
    """Media types of more endings, as `.ending=type/subtype`."""

    memory_bytes: Bytes = 16 << 20
    """Memory for small files, up to 64 KiB each, in each worker."""

    recheck_s: Seconds = 1.0
    """How long what is in memory is taken for what is on the disk."""


class Ready(NamedTuple):
    """A file and the fields of each of its versions, as they were at `checked_at` (monotonic)."""

    file: File
    fields: dict[str, list[FieldLine]]
    codings: tuple[str, ...]
    cost: int
    checked_at: float


class StaticFiles:
    """The handler. `threads` wait for the disk; `clock` is monotonic, `wall` tells the date."""

    def __init__(
        self,
        options: FilesOptions,
        threads: Executor,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._site = Site(
            options.root,
            index=options.index,
            codings=options.precompressed,
            hidden=options.hidden,
            listing=options.listing,
        )
        self._tries = options.tries
        self._types = _types(options.media_types)
        self._threads = threads
        self._clock = clock
        self._wall = wall
        self._recheck_s = options.recheck_s
        self._room = options.memory_bytes
        self._ready: dict[str, Ready] = {}
        self._used = 0

    def __call__(self, exchange: Exchange, request: Request) -> Awaitable[Response]:
        """See `core.handler.Handler`. `Failure` 404 where there is no file, 403 where it may not be read."""
        if request.method not in ("GET", "HEAD"):
            response = Response.text(405, "These are files: they can be read with GET and HEAD.\n")
            response.fields.add("Allow", "GET, HEAD")
            return Answered(response)
        path = request.target.path or "/"
        ready = self._ready.get(path)
        if ready is not None and self._clock() - ready.checked_at < self._recheck_s:
            version = _chosen(ready, request)
            if version.content is not None:
                return Answered(self._answer(request, ready.fields[version.coding], InMemory(version.content)))
        return self._looked_for(exchange, request, path, ready)

    async def _looked_for(self, exchange: Exchange, request: Request, path: str, known: Ready | None) -> Response:
        loop = asyncio.get_running_loop()
        if known is None or self._clock() - known.checked_at >= self._recheck_s:
            paths = [path, *(tried.replace("{path}", path) for tried in self._tries)]
            try:
                found = await loop.run_in_executor(
                    self._threads, self._site.look, paths, None if known is None else known.file
                )
            except OSError as error:
                raise self._unreadable(exchange, error) from None
            match found:
                case None:
                    self._forget(path)
                    raise _missing()
                case Directory():
                    return _with_slash(request)
                case Listing():
                    return listing_page(found)
            known = self._remember(path, found)
        version = _chosen(known, request)
        lines = known.fields[version.coding]
        if version.content is not None:
            return self._answer(request, lines, InMemory(version.content))
        if request.method == "HEAD":
            return self._answer(request, lines, InMemory(b"", version.seen.size))
        try:
            opened = await loop.run_in_executor(self._threads, self._site.open, known.file.path, version.coding)
        except OSError as error:
            raise self._unreadable(exchange, error) from None
        if opened is None:
            self._forget(path)
            raise _missing()
        if opened.seen != version.seen:  # it was exchanged for another one just now
            lines = self._lines(known.file, version._replace(seen=opened.seen, is_settled=False))
        return self._answer(request, lines, OnDisk(opened, self._threads))

    def _answer(self, request: Request, lines: list[FieldLine], content: FileContent) -> Response:
        return answer_of(request, lines, content, self._wall())

    def _remember(self, path: str, file: File) -> Ready:
        self._forget(path)
        fields = {version.coding: self._lines(file, version) for version in file.versions}
        cost = _COST_OF_ONE + len(path) + sum(len(version.content or b"") for version in file.versions)
        codings = tuple(version.coding for version in file.versions if version.coding)
        ready = Ready(file, fields, codings, cost, self._clock())
        if cost <= self._room:
            self._ready[path] = ready
            self._used += cost
            while self._used > self._room or len(self._ready) > MOST_REMEMBERED:
                self._forget(next(iter(self._ready)))
        return ready

    def _forget(self, path: str) -> None:
        ready = self._ready.pop(path, None)
        if ready is not None:
            self._used -= ready.cost

    def _lines(self, file: File, version: Version) -> list[FieldLine]:
        """The fields of an answer with all of this version."""
        seen = version.seen
        suffix = f"-{version.coding}" if version.coding else ""
        tag = f'"{seen.mtime_ns:x}-{seen.size:x}{suffix}"'
        modified = min(seen.mtime_ns // 1_000_000_000, self._wall() // 1)
        lines = [
            field_line("Content-Type", media_type_of(file.path, self._types)),
            field_line("ETag", tag if version.is_settled else f"W/{tag}"),
            field_line("Last-Modified", http_date.written(max(0, round(modified)))),
            field_line("Accept-Ranges", "bytes"),
            field_line("X-Content-Type-Options", "nosniff"),
        ]
        if version.coding:
            lines.append(field_line("Content-Encoding", version.coding))
        if len(file.versions) > 1:
            lines.append(field_line("Vary", "Accept-Encoding"))
        return lines

    @staticmethod
    def _unreadable(exchange: Exchange, error: OSError) -> Failure:
        if error.errno in (errno.EACCES, errno.EPERM):
            exchange.refused_by("files", "permissions", "the process may not read the file")
            return Failure("http_request_denied", Side.INTERNAL, "This file may not be read.")
        return Failure("proxy_internal_error", Side.INTERNAL, f"A file could not be read: {error.strerror}.")


def _chosen(ready: Ready, request: Request) -> Version:
    """The version that the client likes best."""
    versions = ready.file.versions
    if len(versions) == 1:
        return versions[0]
    coding = best_coding(request.fields.every(b"accept-encoding"), ready.codings)
    return next(version for version in versions if version.coding == coding)


def _missing() -> Failure:
    return Failure("destination_not_found", Side.INTERNAL, "There is no file at this address.", status=404)


def _with_slash(request: Request) -> Response:
    """To the same place with a slash, told from where the client is: what it asked for may have been rewritten."""
    target = request.target
    name = target.path.rpartition("/")[2]
    query = "" if target.query is None else f"?{target.query}"
    return Response(301, Fields([("Location", f"./{name}/{query}")]))


def _types(more: tuple[str, ...]) -> Mapping[str, str]:
    pairs = (text.partition("=") for text in more)
    return {**MEDIA_TYPES, **{ending.lower(): media_type for ending, _, media_type in pairs}} if more else MEDIA_TYPES

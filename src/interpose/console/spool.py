"""The spool: files on their way, looked at, edited, released and dropped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.downloads import download, streamed
from interpose.console.resource import (
    Group,
    Parameter,
    Resource,
    Role,
    content_of,
    number,
    octets_of,
    tag_seen,
    who_asks,
)
from interpose.storage.durable import DIRECTORY, open_plain
from interpose.storage.spool import MAX_EDIT_BYTES, Spool
from interpose.storage.spool_claim import digest_of
from interpose.storage.spool_item import Busy, Conflict, Item, SpoolError, Unknown, WrongState

_PIECE_BYTES: Final = 1 << 16


class ItemList(msgspec.Struct, frozen=True):
    """Everything that is stored, in the order in which it came."""

    items: list[Item]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The SHA-256 (hexadecimal) of the content that was seen; without it, the content as it is now is meant."""

    sha256: str = ""


def spool_group(spools: Sequence[Spool]) -> Group:
    """What can be asked about files that are on their way through `spools`."""
    return Group(
        name="spool",
        about="Files on their way.",
        resources=_Spools(spools).resources(),
        problems={Unknown: 404, Conflict: 412, Busy: 409, WrongState: 409, SpoolError: 409, ValueError: 500},
    )


class _Spools:
    def __init__(self, spools: Sequence[Spool]) -> None:
        self._spools = spools

    def resources(self) -> list[Resource]:
        refusals = {404: "There is no such file (any more).", 409: "It is past that, or in somebody else's hands."}
        return [
            Resource(
                method="GET", path="/spool", handler=self.listed, answer=ItemList,
                about="Everything that is stored, in the order in which it came.",
            ),
            Resource(
                method="GET", path="/spool/{id}", handler=self.shown, answer=Item, refusals=refusals,
                about="What is known of one file.",
            ),
            Resource(
                method="GET", path="/spool/{id}/content", handler=self.content, refusals=refusals,
                answer="application/octet-stream",
                about="Its octets. With `limit` the ETag is the SHA-256 of all of it, and X-Content-Cut: true says "
                "that there is more.",
                query=(Parameter("limit", f"At most so many octets, {MAX_EDIT_BYTES} at the most.", "integer"),),
            ),
            Resource(
                method="PUT", path="/spool/{id}/content", handler=self.edit, role=Role.EDITOR,
                content="application/octet-stream", answer=Item, about="Put other octets in their place.",
                fields=(Parameter("If-Match", "The SHA-256 of what was seen, in quotes.", required=True),),
                refusals={**refusals, 412: "It is not what was seen.", 428: "If-Match is missing."},
            ),
            Resource(
                method="POST", path="/spool/{id}/release", handler=self.release, role=Role.EDITOR, content=Wanted,
                answer=Item, about="Have it sent, as it is now or as it was seen; try again what failed.",
                refusals={**refusals, 412: "It is not what was seen."},
            ),
            Resource(
                method="POST", path="/spool/{id}/drop", handler=self.drop, role=Role.EDITOR, answer=Item,
                about="Never send it. Its files stay.", refusals=refusals,
            ),
        ]  # fmt: skip

    async def listed(self, _: Request) -> ItemList:
        items = await asyncio.to_thread(lambda: [item for spool in self._spools for item in spool.items()])
        return ItemList(items)

    async def shown(self, request: Request) -> Item:
        return await self._on(request, lambda spool, item: item)

    async def content(self, request: Request) -> Response:
        limit = number(request, "limit")
        spool, item = await asyncio.to_thread(self._found, request)
        name = f"spool-{item.id}"
        if not limit:
            fd = await asyncio.to_thread(_opened, spool, item.id)
            return streamed(_pieces(fd), name)
        data, size, sha256 = await asyncio.to_thread(_begin, spool, item.id, min(limit, MAX_EDIT_BYTES))
        return download(data, name, is_cut=size > len(data), tag=sha256)

    async def edit(self, request: Request) -> Item:
        seen, data, who = tag_seen(request), await octets_of(request, MAX_EDIT_BYTES), who_asks(request)
        return await self._on(request, lambda spool, item: spool.edit(item.id, data, seen, who))

    async def release(self, request: Request) -> Item:
        wanted, who = await content_of(request, Wanted), who_asks(request)
        return await self._on(request, lambda spool, item: spool.release(item.id, wanted.sha256, who))

    async def drop(self, request: Request) -> Item:
        who = who_asks(request)
        return await self._on(request, lambda spool, item: spool.drop(item.id, who))

    async def _on(self, request: Request, do: Callable[[Spool, Item], Item]) -> Item:
        return await asyncio.to_thread(lambda: do(*self._found(request)))

    def _found(self, request: Request) -> tuple[Spool, Item]:
        """The file that is meant: by its id, or by how that begins."""
        id: str = request.path_params["id"]
        for spool in self._spools:
            item = spool.find(id)
            if item is not None:
                return spool, item
        found: list[tuple[Spool, Item]] = []
        problem = Unknown(f"there is no file {id[:40]!r} in the spool.")
        for spool in self._spools:
            try:
                found.append((spool, spool.get(id)))
            except Unknown as unknown:
                problem = unknown
        if len(found) != 1:
            raise problem
        return found[0]


def _opened(spool: Spool, id: str) -> int:
    directory = os.open(os.path.dirname(spool.path(id)), DIRECTORY)
    try:
        return open_plain(directory, os.path.basename(spool.path(id)))
    finally:
        os.close(directory)


def _pieces(fd: int) -> Iterator[bytes]:
    try:
        while data := os.read(fd, _PIECE_BYTES):
            yield data
    finally:
        os.close(fd)


def _begin(spool: Spool, id: str, limit: int) -> tuple[bytes, int, str]:
    """The first octets, how many there are, and the SHA-256 of all of them."""
    fd = _opened(spool, id)
    try:
        return os.pread(fd, limit, 0), *digest_of(fd)
    finally:
        os.close(fd)

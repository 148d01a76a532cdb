"""Contents and messages of flows: as octets, as something to read, and one after the other."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.downloads import download
from interpose.console.flow_views import Message, message_of
from interpose.console.previews import Preview, preview_of
from interpose.console.resource import Parameter, Refusal, Resource, flag, number, number_in_path
from interpose.core.journal import Kept
from interpose.core.record import field_pairs
from interpose.protocol.content_coding import CodingError, coding_of, decoded
from interpose.storage.journal.reader import Reader

MOST_MESSAGES: Final = 1000


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a conversation, oldest first."""

    messages: list[Message]
    more: bool


class FlowContents:
    """See the module."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def resources(self) -> list[Resource]:
        """Its part of the table."""
        gone = {404: "There is no such flow (any more), or what was kept of it is gone."}
        return [
            Resource(
                method="GET", path="/flows/{id}/{side}/content", handler=self.content, refusals=gone,
                answer="application/octet-stream",
                about="What was kept of the content of the `request` or the `response`, as it was sent. "
                "X-Content-Cut: true says that this is only its beginning.",
                query=(Parameter("decoded", "Undo its coding.", "boolean"),),
            ),
            Resource(
                method="GET", path="/flows/{id}/preview/{side}", handler=self.preview, answer=Preview, refusals=gone,
                about="The content of the `request` or the `response` for reading.",
            ),
            Resource(
                method="GET", path="/flows/{id}/messages", handler=self.messages, answer=MessagePage, refusals=gone,
                about="Messages of a conversation, from the one with the number `after` on.",
                query=(
                    Parameter("after", "How many to pass over.", "integer"),
                    Parameter("limit", f"At most so many, 200 when not given, {MOST_MESSAGES} at the most.", "integer"),
                ),
            ),
        ]  # fmt: skip

    async def content(self, request: Request) -> Response:
        """The octets."""
        id, side = number_in_path(request), _side(request)
        kept, content = await self._read(id, side)
        part = getattr(kept.record, side)
        if flag(request, "decoded"):
            try:
                coding = coding_of([value for name, value in field_pairs(part.fields) if _is_coding(name)])
                content = await asyncio.to_thread(decoded, content, coding)
            except CodingError as error:
                raise Refusal(422, str(error)) from None
        return download(content, f"flow-{id}-{side}", is_cut=part.size > getattr(kept, f"{side}_kept"))

    async def preview(self, request: Request) -> Preview:
        """The content for reading."""
        side = _side(request)
        kept, content = await self._read(number_in_path(request), side)
        part = getattr(kept.record, side)
        return await asyncio.to_thread(preview_of, content, part.fields, is_cut=part.size > len(content))

    async def messages(self, request: Request) -> MessagePage:
        """Messages."""
        id, after = number_in_path(request), number(request, "after")
        limit = max(1, min(number(request, "limit", 200), MOST_MESSAGES))
        found = await asyncio.to_thread(self._reader.messages, id, after, limit + 1)
        if found is None:
            raise Refusal(404, f"There is no flow {id} in the journal (any more), or its messages are gone.")
        messages = [message_of(after + place, passage) for place, passage in enumerate(found[:limit])]
        return MessagePage(messages=messages, more=len(found) > limit)

    async def _read(self, id: int, side: str) -> tuple[Kept, bytes]:
        kept = await asyncio.to_thread(self._reader.get, id)
        content = await asyncio.to_thread(self._reader.content, id, of_response=side == "response")
        if kept is None or content is None:
            raise Refusal(404, f"There is no flow {id} in the journal (any more), or its content is gone.")
        return kept, content


def _side(request: Request) -> str:
    side: str = request.path_params["side"]
    if side not in ("request", "response"):
        raise Refusal(404, "A flow has a `request` and a `response`.")
    return side


def _is_coding(name: bytes) -> bool:
    return name.lower() == b"content-encoding"

"""Flows: what has passed, searched, looked at, marked, sent again, taken elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from interpose.console.curl import curl_command
from interpose.console.differences import Difference, differences
from interpose.console.flow_contents import FlowContents
from interpose.console.flow_views import Flow, Row, flow_of, row_of
from interpose.console.replaying import message_to_replay
from interpose.console.resource import (
    Group,
    Parameter,
    Refusal,
    Resource,
    Role,
    content_of,
    number,
    number_in_path,
)  # fmt: skip
from interpose.console.services import Records, Replay
from interpose.console.transfer import transfer_resources
from interpose.core.failure import Failure
from interpose.core.journal import Kept
from interpose.core.query import Query, parse
from interpose.core.query.complete import complete
from interpose.storage.desk.editing import EditedMessage, NotEditable

MOST_LISTED: Final = 1000
MAX_COMMENT_CHARACTERS: Final = 4000
MARKS: Final = ("", "star", "red", "orange", "yellow", "green", "blue")

Q = Parameter("q", "A query; without one, everything is meant.")
LIMIT = Parameter("limit", f"At most so many, 100 when not given, {MOST_LISTED} at the most.", "integer")


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many flows match; at least so many when it is not `exact`."""

    count: int
    exact: bool


class FlowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Flows, newest first. With `more` there may be others, before the number `before`."""

    flows: list[Row]
    more: bool
    before: int


class Mark(msgspec.Struct, forbid_unknown_fields=True):
    """A mark, "" for none."""

    mark: str


class Comment(msgspec.Struct, forbid_unknown_fields=True):
    """A comment, "" for none."""

    comment: str


class ReplayWanted(msgspec.Struct, forbid_unknown_fields=True):
    """What to change before the request is sent again; what is absent stays as it was."""

    message: EditedMessage | None = None


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """The new exchange and the status of its answer, or the failure; `missing` names fields that nobody knows."""

    exchange: str
    status: int
    failure: str
    detail: str
    missing: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two flows, and what they differ in."""

    a: Flow
    b: Flow
    differences: list[Difference]


class Proposal(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """`text` may take the place of what stands between two characters of a query."""

    text: str
    start: int
    end: int
    about: str


class Proposals(msgspec.Struct, frozen=True, kw_only=True):
    """What may be written next, best first."""

    completions: list[Proposal]


def flows_group(records: Records, replay: Replay | None) -> Group:
    """What can be asked about flows."""
    flows = _Flows(records, replay)
    return Group(
        name="flows",
        about="What has passed, as the journal keeps it.",
        problems={NotEditable: 422},
        resources=[
            *flows.looking(),
            *transfer_resources(records),
            *flows.one(),
            *FlowContents(records.reader).resources(),
        ],
    )


class _Flows:
    def __init__(self, records: Records, replay: Replay | None) -> None:
        self._records = records
        self._replay = replay

    def looking(self) -> list[Resource]:
        return [
            Resource(
                method="GET", path="/flows", handler=self.listed, answer=FlowPage,
                about="The newest flows that match a query.",
                query=(
                    Q, Parameter("before", "Only flows with smaller numbers.", "integer"),
                    Parameter("after", "Only flows with greater numbers.", "integer"), LIMIT,
                ),
                refusals={422: "The query is none; `at` says where."},
            ),
            Resource(
                method="GET", path="/flows/count", handler=self.counted, answer=Count, query=(Q,),
                about="How many match; at least so many when that is not exact.",
            ),
            Resource(
                method="GET", path="/flows/complete", handler=self.completed, answer=Proposals,
                about="What may be written next in a query.",
                query=(
                    Parameter("text", "The query so far."),
                    Parameter("cursor", "Where in it one writes; at its end when not given.", "integer"),
                ),
            ),
            Resource(
                method="GET", path="/flows/compare", handler=self.compared, answer=Comparison,
                about="Two flows and what they differ in.",
                query=(
                    Parameter("a", "The number of one.", "integer", required=True),
                    Parameter("b", "The number of the other.", "integer", required=True),
                ),
            ),
        ]  # fmt: skip

    def one(self) -> list[Resource]:
        gone = {404: "There is no such flow (any more)."}
        return [
            Resource(
                method="GET", path="/flows/{id}", handler=self.shown, answer=Flow, refusals=gone,
                about="All of a flow but its contents and messages.",
            ),
            Resource(
                method="GET", path="/flows/{id}/curl", handler=self.curl, answer="text/plain", refusals=gone,
                about="Its request as a command for curl. What that cannot say is in comments.",
            ),
            Resource(
                method="POST", path="/flows/{id}/mark", handler=self.mark, role=Role.EDITOR, content=Mark,
                answer=Row, refusals=gone, about=f"Mark it: {', '.join(mark for mark in MARKS if mark)}, or not.",
            ),
            Resource(
                method="PUT", path="/flows/{id}/comment", handler=self.comment, role=Role.EDITOR, content=Comment,
                answer=Row, refusals=gone, about="Write something to it.",
            ),
            Resource(
                method="POST", path="/flows/{id}/replay", handler=self.replayed, role=Role.EDITOR,
                content=ReplayWanted, answer=ReplayResult, about="Send its request again, changed or not.",
                refusals={**gone, 409: "It cannot be sent again.", 503: "Nobody is there to send it."},
            ),
        ]  # fmt: skip

    async def listed(self, request: Request) -> FlowPage:
        query = query_of(request)
        found = await asyncio.to_thread(
            self._records.reader.find,
            query,
            before=number(request, "before"),
            after=number(request, "after"),
            limit=max(1, min(number(request, "limit", 100), MOST_LISTED)),
        )
        return FlowPage(flows=[row_of(summary) for summary in found.rows], more=found.more, before=found.before)

    async def counted(self, request: Request) -> Count:
        counted = await asyncio.to_thread(self._records.counting.count, query_of(request))
        return Count(count=counted.count, exact=counted.exact)

    async def completed(self, request: Request) -> Proposals:
        text = request.query_params.get("text", "")
        found = complete(text, number(request, "cursor", len(text)))
        return Proposals(
            completions=[Proposal(text=one.text, start=one.start, end=one.end, about=one.meaning) for one in found]
        )

    async def compared(self, request: Request) -> Comparison:
        reader = self._records.reader

        def read() -> Comparison:
            ids = [number(request, name) for name in "ab"]
            a, b = (flow_of(_found(reader.get(id), id)) for id in ids)
            contents = {
                side: tuple(reader.content(id, of_response=side == "response") or b"" for id in ids)
                for side in ("request", "response")
            }
            return Comparison(a=a, b=b, differences=differences(a, b, contents))  # type: ignore[arg-type]

        return await asyncio.to_thread(read)

    async def shown(self, request: Request) -> Flow:
        return flow_of(await self._kept(number_in_path(request)))

    async def curl(self, request: Request) -> Response:
        id = number_in_path(request)
        kept = await self._kept(id)
        if not kept.record.method or not kept.summary.target.startswith("http"):
            raise Refusal(409, "Only a request of HTTP is something that curl can send.")
        content = await asyncio.to_thread(self._records.reader.content, id, of_response=False)
        return PlainTextResponse(curl_command(kept, content or b""))

    async def mark(self, request: Request) -> Row:
        wanted = await content_of(request, Mark)
        if wanted.mark not in MARKS:
            raise Refusal(422, f"There is no mark {wanted.mark[:40]!r}; there are {', '.join(MARKS[1:])}.")
        return await self._changed(request, lambda id: self._records.thread.mark(id, wanted.mark))

    async def comment(self, request: Request) -> Row:
        comment = (await content_of(request, Comment)).comment
        if len(comment) > MAX_COMMENT_CHARACTERS:
            raise Refusal(422, f"A comment has {MAX_COMMENT_CHARACTERS} characters at most, not {len(comment)}.")
        return await self._changed(request, lambda id: self._records.thread.comment(id, comment))

    async def replayed(self, request: Request) -> ReplayResult:
        if self._replay is None:
            raise Refusal(503, "Nobody here can send a request again.")
        id = number_in_path(request)
        wanted = await content_of(request, ReplayWanted)
        kept = await self._kept(id)
        content = await asyncio.to_thread(self._records.reader.content, id, of_response=False)
        message, missing = message_to_replay(kept, content, wanted.message)
        try:
            result = await self._replay(message, kept.summary)
        except Failure as failure:
            raise Refusal(503, failure.detail or "Nobody is there to send it.") from None
        return ReplayResult(
            exchange=result.exchange,
            status=result.status,
            failure=result.failure,
            detail=result.detail,
            missing=missing,
        )

    async def _changed(self, request: Request, change: Callable[[int], Any]) -> Row:
        id = number_in_path(request)
        if not await asyncio.wrap_future(change(id)):
            raise _no_flow(id)
        return row_of((await self._kept(id)).summary)

    async def _kept(self, id: int) -> Kept:
        return _found(await asyncio.to_thread(self._records.reader.get, id), id)


def query_of(request: Request) -> Query | None:
    """The query that `q` says. QueryError."""
    text = request.query_params.get("q", "").strip()
    return parse(text) if text else None


def _found(kept: Kept | None, id: int) -> Kept:
    if kept is None:
        raise _no_flow(id)
    return kept


def _no_flow(id: int) -> Refusal:
    return Refusal(404, f"There is no flow {id} in the journal (any more).")

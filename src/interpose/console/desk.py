"""The desk: what waits until somebody has looked, and what people do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.downloads import download, streamed
from interpose.console.resource import (
    Group,
    Parameter,
    Refusal,
    Resource,
    Role,
    content_of,
    flag,
    json,
    number,
    number_in_path,
    tag_seen,
    who_asks,
)
from interpose.protocol.content_coding import CodingError
from interpose.storage.desk.contents import Damaged
from interpose.storage.desk.editing import EditedMessage, NotEditable
from interpose.storage.desk.review import Conflict, Review
from interpose.storage.desk.rules import Rule
from interpose.storage.desk.store import Full, NoSuchHold, Seen
from interpose.storage.desk.views import AuditPage, HoldView, Listing

MOST_LISTED: Final = 1000
_STATES: Final = ("waiting", "decided", "all")
_WEEK_S: Final = 604800.0


class Decided(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody saw who decides, and why. `answer` is what to answer a request with."""

    version: int
    digest: str
    why: str = ""
    answer: EditedMessage | None = None


class Reviewing(msgspec.Struct, forbid_unknown_fields=True):
    """Whether somebody looks at it."""

    reviewing: bool = True


class RuleWanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to pass from now on, and for how long; without a query, what goes where this one goes."""

    query: str | None = None
    for_s: float = _WEEK_S


class RuleList(msgspec.Struct, frozen=True):
    """The rules that hold, the newest first."""

    rules: list[Rule]


Decide = Callable[[str, Seen, str, str], Awaitable[HoldView]]


def desk_group(review: Review) -> Group:
    """What can be asked about the desk."""
    desk = _Desk(review)
    return Group(
        name="desk",
        about="What waits until somebody has looked.",
        resources=[*desk.looking(), *desk.rules(), *desk.one(), *desk.deciding()],
        problems={NoSuchHold: 404, NotEditable: 422, Damaged: 500, Full: 507, ValueError: 422},
    )


class _Desk:
    def __init__(self, review: Review) -> None:
        self._review = review

    def looking(self) -> list[Resource]:
        return [
            Resource(
                method="GET", path="/desk", handler=self.listed, answer=Listing, about="Holds, the newest first.",
                query=(
                    Parameter("state", "`waiting` (when not given), `decided` or `all`."),
                    Parameter("limit", f"At most so many, 100 when not given, {MOST_LISTED} at the most.", "integer"),
                ),
            ),
            Resource(
                method="GET", path="/desk/audit", handler=self.audit, answer=AuditPage,
                about="Who did what, oldest first; and whether every entry is the one that was made.",
                query=(
                    Parameter("after", "Only entries with greater numbers.", "integer"),
                    Parameter("limit", "At most so many.", "integer"),
                ),
            ),
        ]  # fmt: skip

    def rules(self) -> list[Resource]:
        return [
            Resource(
                method="GET", path="/desk/rules", handler=self.all_rules, answer=RuleList,
                about="What may pass without anybody looking, for a while.",
            ),
            Resource(
                method="DELETE", path="/desk/rules/{id}", handler=self.remove_rule, role=Role.EDITOR,
                about="Let nothing pass by it any more.", refusals={404: "There is no such rule (any more)."},
            ),
        ]  # fmt: skip

    def one(self) -> list[Resource]:
        gone = {404: "There is no such hold (any more)."}
        return [
            Resource(
                method="GET", path="/desk/{id}", handler=self.shown, answer=HoldView, refusals=gone,
                about="All of a hold. Its ETag is its version.",
            ),
            Resource(
                method="PUT", path="/desk/{id}", handler=self.edit, role=Role.EDITOR, content=EditedMessage,
                answer=HoldView, about="Change the message; what is absent stays as it is.",
                fields=(Parameter("If-Match", "The version that was seen, in quotes.", required=True),),
                refusals={
                    **gone, 412: "Somebody else was quicker; the content is the hold as it is now.",
                    422: "It cannot be changed so.", 428: "If-Match is missing.",
                },
            ),
            Resource(
                method="GET", path="/desk/{id}/content", handler=self.content, answer="application/octet-stream",
                about="The octets of its content.", refusals=gone,
                query=(Parameter("decoded", "Undo its coding.", "boolean"),),
            ),
            Resource(
                method="POST", path="/desk/{id}/review", handler=self.look, role=Role.EDITOR, content=Reviewing,
                about="Say that one looks at it, which lasts for half a minute, or does no more.", refusals=gone,
            ),
            Resource(
                method="POST", path="/desk/{id}/rule", handler=self.make_rule, role=Role.EDITOR, content=RuleWanted,
                answer=Rule, about="Let what is like it pass for some time.", refusals=gone,
            ),
        ]  # fmt: skip

    def deciding(self) -> list[Resource]:
        review = self._review
        refusals = {
            404: "There is no such hold (any more).",
            409: "It is not (any more) what was seen, or cannot become that; the content is the hold as it is now.",
        }
        decisions: list[tuple[str, Decide, str]] = [
            ("release", review.release, "Let it go on, exactly as it was seen."),
            ("drop", review.drop, "Let it go nowhere; an HTTP client is told so with a 403."),
            ("send", review.send, "Have the desk send a request whose client does not wait, until it was answered."),
        ]
        made = [
            Resource(
                method="POST", path=f"/desk/{{id}}/{name}", handler=_deciding(decide), role=Role.EDITOR,
                content=Decided, answer=HoldView, about=about, refusals=refusals,
            )
            for name, decide, about in decisions
        ]  # fmt: skip
        answer = Resource(
            method="POST", path="/desk/{id}/answer", handler=self.answer, role=Role.EDITOR, content=Decided,
            answer=HoldView, about="Answer a request by hand; it does not go on.", refusals=refusals,
        )  # fmt: skip
        return [*made, answer]

    async def listed(self, request: Request) -> Listing:
        state = request.query_params.get("state", "waiting")
        if state not in _STATES:
            raise Refusal(422, f"`state` is one of {', '.join(_STATES)}, not {state[:40]!r}.")
        known = cast(Literal["waiting", "decided", "all"], state)
        return await self._review.listed(known, number(request, "limit", 100))

    async def audit(self, request: Request) -> AuditPage:
        return await self._review.audit(number(request, "after"), number(request, "limit", 100))

    async def all_rules(self, _: Request) -> RuleList:
        return RuleList(await self._review.rules())

    async def remove_rule(self, request: Request) -> dict[str, Any]:
        id = number_in_path(request)
        if not await self._review.remove_rule(id, who_asks(request)):
            raise Refusal(404, f"There is no rule {id} (any more).")
        return {}

    async def shown(self, request: Request) -> Response:
        return _hold(await self._review.shown(_id(request)))

    async def edit(self, request: Request) -> Response:
        version = _version(tag_seen(request))
        change = await content_of(request, EditedMessage)
        try:
            return _hold(await self._review.edit(_id(request), version, change, who_asks(request)))
        except Conflict as conflict:
            return _conflicting(conflict, 412)

    async def content(self, request: Request) -> Response:
        id = _id(request)
        if not flag(request, "decoded"):
            return streamed(await self._review.content(id), f"hold-{id}")
        try:
            pieces = await self._review.content(id, decoded=True)
            # All of it first, which its coding's bounds allow: an error in the middle could not be told any more.
            return download(await asyncio.to_thread(b"".join, pieces), f"hold-{id}")
        except CodingError as error:
            raise Refusal(422, str(error)) from None

    async def look(self, request: Request) -> dict[str, Any]:
        wanted = await content_of(request, Reviewing)
        await self._review.look(_id(request), who_asks(request), wanted.reviewing)
        return {}

    async def make_rule(self, request: Request) -> Rule:
        wanted = await content_of(request, RuleWanted)
        return await self._review.make_rule(_id(request), who_asks(request), wanted.query, wanted.for_s)

    async def answer(self, request: Request) -> Response:
        wanted = await content_of(request, Decided)
        if wanted.answer is None:
            raise Refusal(422, "Say in `answer` what to answer with.")
        try:
            return _hold(
                await self._review.answer(_id(request), _seen(wanted), wanted.answer, who_asks(request), wanted.why)
            )
        except Conflict as conflict:
            return _conflicting(conflict, 409)


def _deciding(decide: Decide) -> Callable[[Request], Awaitable[Response]]:
    async def decided(request: Request) -> Response:
        wanted = await content_of(request, Decided)
        if wanted.answer is not None:
            raise Refusal(422, "`answer` is for answering, and for nothing else.")
        try:
            return _hold(await decide(_id(request), _seen(wanted), who_asks(request), wanted.why))
        except Conflict as conflict:
            return _conflicting(conflict, 409)

    return decided


def _hold(hold: HoldView) -> Response:
    """A hold as an answer, with its version as its tag."""
    return json(hold, 200, _tag(hold))


def _conflicting(conflict: Conflict, status: int) -> Response:
    """The hold as it is now, and beside it why nothing was done."""
    hold = conflict.hold
    return json({"errors": [str(conflict)], **msgspec.to_builtins(hold)}, status, _tag(hold))


def _tag(hold: HoldView) -> dict[str, str]:
    return {"ETag": f'"{hold.version}"'}


def _id(request: Request) -> str:
    id: str = request.path_params["id"]
    return id


def _seen(wanted: Decided) -> Seen:
    try:
        return Seen(wanted.version, bytes.fromhex(wanted.digest))
    except ValueError:
        raise Refusal(422, "`digest` is the hexadecimal number that came with the hold.") from None


def _version(tag: str) -> int:
    if not (tag.isascii() and tag.isdecimal() and len(tag) < 10):
        raise Refusal(412, f"There is no version {tag[:40]!r}: the ETag of a hold is a number.")
    return int(tag)

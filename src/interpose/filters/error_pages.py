"""Error pages of an operator's own: for our errors, and where they say so for those of servers (phase EDIT).

A page changes what is read, never what it means: the status stays, and with it every field that is about the error and
not about the content that is replaced (`Retry-After`, `WWW-Authenticate`, `Proxy-Status`, `Allow`, cookies).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from html import escape
from http import HTTPStatus
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import FieldLine, field_line
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.protocol.media_types import media_type_of
from interpose.protocol.negotiation import best_media_type

ErrorStatus = Annotated[str, Meta(extra={"kind": "error_status"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
MediaType = Annotated[str, Meta(extra={"kind": "filled"})]
Condition = Annotated[str, Meta(extra={"kind": "condition"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]

MOST_PAGE_BYTES = 1 << 20

_OF_THE_CONTENT = frozenset(
    b"accept-ranges content-digest content-disposition content-encoding content-language content-location content-md5 "
    b"content-range content-security-policy content-type digest etag expires last-modified repr-digest".split(b" ")
)


class ErrorPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page for errors. Of several for a status the one is taken that the client's `Accept` prefers; who accepts none
    gets what there was."""

    status: tuple[ErrorStatus, ...]
    """The statuses, `404`, or classes of them, `5xx`; a page that names a status goes before one for its class."""

    file: File
    """The file, up to 1 MiB, which is read when the configuration is. `{status}`, `{phrase}` and `{reference}` are
    filled in."""

    media_type: MediaType = ""
    """Its `Content-Type`. Empty: by the ending of its name."""

    intercept: bool = False
    """Whether it stands in for what servers answer too, not only for errors of our own."""

    when: Condition = ""
    """Only for what this query means: `host:shop.example`. Empty: always."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that speak HTTP."""


class Page(NamedTuple):
    """A page, ready to be shown."""

    statuses: frozenset[str]
    content: bytes
    media_type: str
    condition: Matcher | None


class ErrorPages:
    """The pages of a listener. ValueError, a sentence, when one of the files cannot be used."""

    def __init__(self, pages: Iterable[ErrorPage], wall: Callable[[], float] = time.time) -> None:
        self._pages = [_page(page) for page in pages]
        self._wall = wall

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`: what the server behind says of errors is replaced."""
        answering = forward(exchange, request)
        if type(answering) is Answered:
            self.put_into(exchange, request, answering.response)
            return answering
        return self._awaited(exchange, request, answering)

    async def _awaited(self, exchange: Exchange, request: Request, answering: Awaitable[Response]) -> Response:
        response = await answering
        self.put_into(exchange, request, response)
        return response

    def put_into(self, exchange: Exchange, request: Request | None, response: Response) -> None:
        """Replace the content of an error, when there is a page for it that the client accepts."""
        if response.status < 400:
            return
        page = self._page_for(exchange, request, response)
        if page is None:
            return
        response.body.close()
        content = _filled(page.content, exchange, response.status)
        lines: list[FieldLine] = [line for line in response.fields.lines if line[0] not in _OF_THE_CONTENT]
        response.fields.lines = [field_line("Content-Type", page.media_type), *lines]
        if request is not None and request.method == "HEAD":
            response.body, response.declared_length = EMPTY, len(content)
        else:
            response.body = Body(content)

    def _page_for(self, exchange: Exchange, request: Request | None, response: Response) -> Page | None:
        status = str(response.status)
        accept = None if request is None else request.fields.get("Accept")
        for names in (status, f"{status[0]}xx"):
            pages = [
                page
                for page in self._pages
                if names in page.statuses and self._is_meant(page, exchange, request, response)
            ]
            best = best_media_type(accept, [_bare(page) for page in pages]) if pages else None
            if best is not None:
                return next(page for page in pages if _bare(page) == best)
        return None

    def _is_meant(self, page: Page, exchange: Exchange, request: Request | None, response: Response) -> bool:
        if page.condition is None:
            return True
        if request is None:  # nothing that could be read as a request came
            return False
        return page.condition.matches(Live(exchange, request, response, time=self._wall(), route=exchange.route))


class Answer(Protocol):
    """Makes the answer to a failure; `anyway` is a link that leads on all the same."""

    def __call__(self, exchange: Exchange, request: Request | None, failure: Failure, *, anyway: str = "") -> Response:
        """The answer."""


class OwnErrors:
    """Answers to failures, with pages where there are some for them. `answer` makes them without."""

    def __init__(self, answer: Answer, pages: ErrorPages) -> None:
        self._answer = answer
        self._pages = pages

    def __call__(self, exchange: Exchange, request: Request | None, failure: Failure, *, anyway: str = "") -> Response:
        """The answer to a failure. One with a link that leads on stays as it is: no page of ours has that."""
        response = self._answer(exchange, request, failure, anyway=anyway)
        if not anyway:
            self._pages.put_into(exchange, request, response)
        return response


def content_of(path: str) -> bytes:
    """The content of a page. ValueError, a sentence, when it cannot be had, or is too long."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_PAGE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > MOST_PAGE_BYTES:
        raise ValueError(f"{path} is larger than {MOST_PAGE_BYTES} bytes; a page of errors has to be small.")
    return content


def _page(page: ErrorPage) -> Page:
    condition = compile_query(parse(page.when)) if page.when else None
    media_type = page.media_type or media_type_of(page.file)
    return Page(frozenset(page.status), content_of(page.file), media_type, condition)


def _bare(page: Page) -> str:
    return page.media_type.partition(";")[0].rstrip(" \t")


def _filled(content: bytes, exchange: Exchange, status: int) -> bytes:
    if b"{" not in content:
        return content
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    for name, value in (("status", str(status)), ("phrase", escape(phrase)), ("reference", escape(exchange.id))):
        content = content.replace(f"{{{name}}}".encode(), value.encode())
    return content

"""Scripts without a program: files written to a directory, a server that answers, a client that reads."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.handler import Handler, Phase, chain
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.script.options import ScriptOptions
from interpose.filters.script.script import Script

HEAD = """
import interpose
from interpose import Body, Failure, Phase, Response, Side, filter
"""
FIRST = HEAD.count("\n") + 1  # the line on which a script's own text begins


class Origin:
    """Answers 200 with a body that streams, and knows whether somebody closed it."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.cancelled = 0
        self.bodies: list[Body] = []

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append(request)
        body = Body.streaming(self, None)
        self.bodies.append(body)
        return Response(200, Fields(), body)

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def cancel(self) -> None:
        self.cancelled += 1


class Nowhere:
    """Reads a body to its end, as a client does."""

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] | None = None
        self.got: list[object] = []

    def write(self, chunk: bytes) -> bool:
        self.got.append(chunk)
        return True

    def end(self, trailers: Fields | None) -> None:
        self.got.append("end")

    def abort(self, failure: Failure) -> None:
        self.got.append(failure.kind)


def write(path: Path, source: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(HEAD + textwrap.dedent(source).lstrip("\n"))
    new.replace(path)


def script(tmp_path: Path, source: str, clock: Callable[[], float] = lambda: 0.0, **options: Any) -> Script:
    path = tmp_path / "mine.py"
    write(path, source)
    return Script(ScriptOptions(file=str(path), **options), clock)


def handler(script: Script, end: Handler) -> Handler:
    return chain([script.slot(phase) for phase in Phase], end)


def exchange() -> Exchange:
    return Exchange(42, 1, "main", Address("192.0.2.1", 50000), 0.0)


def request(body: Body | None = None) -> Request:
    target = Target(Form.ORIGIN, "http", Authority("example.org"), "/")
    return Request("GET" if body is None else "POST", target, Fields(), body or Body())

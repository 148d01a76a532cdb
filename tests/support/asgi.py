"""Asks an ASGI application as a server would, without one: whole answers, and streams that are read piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class Asgi:
    """`fields` are sent along with every request; a value of None in a call leaves one out."""

    def __init__(self, application: Any, prefix: str = "", fields: Mapping[str, str] | None = None) -> None:
        self.application = application
        self.prefix = prefix
        self.fields = dict(fields or {})
        self.client = ("127.0.0.1", 50000)

    async def ask(
        self,
        method: str,
        path: str,
        content: Any = b"",
        fields: Mapping[str, str | None] | None = None,
        *,
        pieces: list[bytes] | None = None,
    ) -> Answer:
        """The whole answer. `content` that is not octets is sent as JSON."""
        data = content if isinstance(content, bytes) else msgspec.json.encode(content)
        waiting = [data] if pieces is None else list(pieces)
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}
            await asyncio.Event().wait()  # the client stays until it has its answer
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async with asyncio.timeout(20):
            await self.application(self._scope(method, path, fields), receive, send)
        return _answer(sent)

    async def get(self, path: str, fields: Mapping[str, str | None] | None = None) -> Answer:
        return await self.ask("GET", path, fields=fields)

    async def post(self, path: str, content: Any = b"{}", fields: Mapping[str, str | None] | None = None) -> Answer:
        return await self.ask("POST", path, content, fields)

    async def put(self, path: str, content: Any, fields: Mapping[str, str | None] | None = None) -> Answer:
        return await self.ask("PUT", path, content, fields)

    @asynccontextmanager
    async def stream(self, path: str, fields: Mapping[str, str | None] | None = None) -> AsyncIterator[Stream]:
        """An answer that does not end by itself."""
        stream = Stream()
        task = asyncio.create_task(
            self.application(self._scope("GET", path, fields), stream.receive, stream.send)  # type: ignore[arg-type]
        )
        try:
            yield stream
        finally:
            stream.leave()
            async with asyncio.timeout(10):
                await task

    def _scope(self, method: str, path: str, fields: Mapping[str, str | None] | None) -> dict[str, Any]:
        all_fields = {**self.fields, **(fields or {})}
        path, _, query = f"{self.prefix}{path}".partition("?")
        return {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in all_fields.items()
                if value is not None
            ],
            "client": self.client,
            "server": ("127.0.0.1", 8081),
        }


class Stream:
    """What comes of an answer while it comes. It takes no more while `is_stuck`."""

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.text = ""
        self.has_ended = False
        self._news = asyncio.Condition()
        self._left = asyncio.Event()
        self._may_send = asyncio.Event()
        self._may_send.set()

    async def receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await self._may_send.wait()
        async with self._news:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.fields = _fields(message)
            else:
                self.text += message.get("body", b"").decode()
                self.has_ended = not message.get("more_body", False)
            self._news.notify_all()

    def stop_reading(self) -> None:
        self._may_send.clear()

    def read_on(self) -> None:
        self._may_send.set()

    def leave(self) -> None:
        self._may_send.set()
        self._left.set()

    async def until(self, needle: str, times: int = 1) -> str:
        """All that has come, once `needle` is in it."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: self.text.count(needle) >= times)
        return self.text

    async def ends(self) -> str:
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: self.has_ended)
        return self.text


def _answer(sent: list[dict[str, Any]]) -> Answer:
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], _fields(sent[0]), body)


def _fields(message: dict[str, Any]) -> dict[str, str]:
    return {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}

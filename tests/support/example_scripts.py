"""A script of the manual at work in this process, before a server that answers as it is told.

async with example("add_field", reply("hello")) as world:
    answer = await world.get("/path", X_Field="value")
    world.origin.requests()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.scenes import judge
from tests.support.product import Product, product
from tests.support.raw_client import ask
from tests.support.raw_origin import Connection, RawOrigin

from interpose.config.load import config_of

SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"

Answer = Callable[[judge.Request], bytes]


def reply(content: str | bytes = "hello", status: int = 200, media_type: str = "text/plain", **fields: str) -> bytes:
    """An answer as a server writes it; `X_Field` stands for `X-Field`."""
    data = content.encode() if isinstance(content, str) else content
    lines = [f"HTTP/1.1 {status} Told", f"Content-Type: {media_type}", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def telling(answer: bytes | Answer) -> Callable[[Connection], Awaitable[None]]:
    """What a server does that gives this answer to every request, or to each what a function says."""

    async def talk(connection: Connection) -> None:
        while True:
            request = await connection.request(None)
            said = answer if isinstance(answer, bytes) else answer(request)
            await connection.send(said[: said.index(b"\r\n\r\n") + 4] if request.method == "HEAD" else said)

    return talk


def field(message: judge.Head, name: str) -> str | None:
    """The value of a field, None without one."""
    values = message.values(name.lower())
    return ", ".join(values) if values else None


class World:
    """See the module."""

    def __init__(self, product: Product, origin: RawOrigin, role: str) -> None:
        self.product = product
        self.address = product.address("main")
        self.origin = origin
        self.url = f"http://{origin.address}" if role == "proxy" else ""

    async def get(self, target: str = "/", method: str = "GET", content: bytes = b"", **fields: str) -> judge.Response:
        """The answer to a request."""
        url = target if target.startswith("http:") else self.url + target
        fields = {"Host": self.origin.address, **fields}
        if content:
            fields["Content-Length"] = str(len(content))
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        head = "\r\n".join([f"{method} {url} HTTP/1.1", *lines, "", ""]).encode()
        return await ask(self.address, head + content, method)

    async def notes(self, line: int = 1) -> dict[str, str]:
        """What the log says besides about the exchange with this number."""
        notes: dict[str, str] = (await self.product.logged(line))[line - 1].get("notes", {})
        return notes


@asynccontextmanager
async def example(
    name: str | Path,
    answer: bytes | Answer | Callable[[Connection], Awaitable[None]],
    role: str = "gateway",
    options: dict[str, Any] | None = None,
    *,
    is_script: bool = False,
    **tables: Any,
) -> AsyncIterator[World]:
    """See the module. `answer`: to every request, or to each what a function says; `is_script`: see `RawOrigin`."""

    file = str(name if isinstance(name, Path) else SCRIPTS / f"{name}.py")
    script: Any = answer if is_script else telling(answer)  # type: ignore[arg-type]
    async with RawOrigin(script) as origin:
        listener = {"name": "main", "address": "127.0.0.1:0", "role": role, **tables.pop("listener", {})}
        if role != "proxy":
            listener["upstream"] = "origin"
            tables["upstream"] = [{"name": "origin", "servers": [f"{_scheme(role)}{origin.address}"]}]
        scripts = [{"file": file, "options": options or {}, "listeners": ["main"]}]
        config = config_of({"listener": [listener], "script": scripts, **tables}, name="examples")
        async with product(config) as running:
            yield World(running, origin, role)


def _scheme(role: str) -> str:
    return "tcp://" if role == "relay" else "http://"

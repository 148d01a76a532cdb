"""The page: files that are there from the start and never change. No path leads anywhere but to them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

DIRECTORY: Final = Path(__file__).with_name("page")

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Page:
    """The files of `directory`, by their names below it; read when they are first asked for and then known."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): path
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path.suffix in _TYPES
        }
        self._read: dict[str, tuple[bytes, str]] = {}

    def routes(self) -> list[Route]:
        """One for each file, and one for the page itself."""
        return [Route("/", self._answer), *(Route(f"/{name}", self._answer) for name in self._files)]

    async def _answer(self, request: Request) -> Response:
        name = request.url.path.lstrip("/") or "index.html"
        if name not in self._read:
            data = self._files[name].read_bytes()
            self._read[name] = (data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
        data, tag = self._read[name]
        fields = {"ETag": tag, "Cache-Control": "no-cache"}
        seen = [one.strip(" \t").removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        if tag in seen or seen == ["*"]:
            return Response(status_code=304, headers=fields)
        return Response(data, headers={**fields, "Content-Type": _TYPES[self._files[name].suffix]})

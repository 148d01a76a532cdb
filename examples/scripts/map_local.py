"""Answers with files of yours where there are some, and asks the server for the rest: a script or a style to be tried.

[[script]]
file = "map_local.py"
options = { directory = "/srv/site", below = "/static/" }
"""

import asyncio
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import interpose
from interpose import Body, Exchange, Fields, Handler, Request, Response


@dataclass
class Options:
    directory: str
    below: str = "/"


options = interpose.options(Options)
root = Path(options.directory).resolve()


@interpose.filter
async def map_local(exchange: Exchange, request: Request, forward: Handler) -> Response:
    path = request.target.path
    if request.method not in ("GET", "HEAD") or not path.startswith(options.below):
        return await forward(exchange, request)
    file = (root / path.removeprefix(options.below)).resolve()
    if not file.is_relative_to(root) or not file.is_file():
        return await forward(exchange, request)
    content = await asyncio.to_thread(file.read_bytes)
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Response(200, Fields([("Content-Type", media_type), ("Cache-Control", "no-store")]), Body(content))

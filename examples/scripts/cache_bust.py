"""Has everything fetched anew: no cache, of a browser or on the way, answers, and none keeps the answer.

interpose proxy --script examples/scripts/cache_bust.py
"""

import interpose
from interpose import Exchange, Handler, Request, Response

CONDITIONS = ("If-None-Match", "If-Modified-Since", "If-Range")
VALIDATORS = ("ETag", "Last-Modified", "Expires", "Age")


@interpose.filter
async def cache_bust(exchange: Exchange, request: Request, forward: Handler) -> Response:
    request.fields.remove(*CONDITIONS)
    request.fields.set("Cache-Control", "no-cache")
    response = await forward(exchange, request)
    response.fields.remove(*VALIDATORS)
    response.fields.set("Cache-Control", "no-store")
    return response

"""Looks for words in pages, whatever they are compressed with, and refuses those that have one.

    interpose proxy --script examples/scripts/search_words.py

Longer contents than are looked at are let through, and so are media: a filter that refuses them would be no use.
"""

import re

import interpose
from interpose import Exchange, Failure, Handler, Request, Response, Side

WORDS = re.compile(rb"\b(?:topsecret|project\s+x)\b", re.IGNORECASE)
MAX_BYTES = 2 << 20


@interpose.filter
async def search(exchange: Exchange, request: Request, forward: Handler) -> Response:
    request.fields.remove("Range", "If-Range")
    response = await forward(exchange, request)
    length = response.body.length
    is_text = response.fields.get("Content-Type", "").startswith("text/")
    if request.method == "HEAD" or not is_text or length is None or length > MAX_BYTES:
        return response
    found = WORDS.search(await interpose.read(response, limit=8 * MAX_BYTES))
    if found:
        exchange.notes["word"] = found[0].decode("latin-1")
        raise Failure("http_request_denied", Side.DOWNSTREAM, "This page has a word that may not be read here.")
    return response

"""Shows half of the visitors a new start page, the same one whenever they come.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/ab_cookie.py

With numbers, guards and a verdict: `[[experiment]]`.
"""

import random
import re

import interpose
from interpose import Exchange, Handler, Request, Response

COOKIE = re.compile(r"(?:^|;\s*)start=(old|new)(?:;|$)")
PAGES = {"old": "/", "new": "/start-new"}


@interpose.filter
async def ab_cookie(exchange: Exchange, request: Request, forward: Handler) -> Response:
    if request.target.path != "/":
        return await forward(exchange, request)
    found = COOKIE.search(request.fields.get("Cookie", ""))
    variant = found[1] if found else random.choice(("old", "new"))
    request.target = request.target._replace(path=PAGES[variant])
    exchange.notes["start"] = variant
    response = await forward(exchange, request)
    response.fields.set("Cache-Control", "private")
    if found is None:
        response.fields.add("Set-Cookie", f"start={variant}; Path=/; Max-Age=2592000; SameSite=Lax")
    return response

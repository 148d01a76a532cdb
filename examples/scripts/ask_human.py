"""Lets somebody look at requests that delete something, before they go on.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/ask_human.py

They wait at the desk: on the console, or with `interpose desk`. Who decides may edit the request, drop it (the client
gets 403), or answer in the place of the server.
"""

import interpose
from interpose import Exchange, Handler, Request, Response, Verdict


@interpose.filter
async def ask_human(exchange: Exchange, request: Request, forward: Handler) -> Response:
    if request.method == "DELETE":
        ruling = await exchange.hold(f"deletes {request.target.path}")
        if ruling.verdict is Verdict.ANSWER and ruling.answer is not None:
            return ruling.answer
        request.fields.set("X-Approved-By", ruling.by)
    return await forward(exchange, request)

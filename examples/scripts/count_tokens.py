"""Counts the pieces of answers that language models stream, while they pass, and notes them in the log.

    interpose gateway https://model.example --script examples/scripts/count_tokens.py

The answer goes on as it comes: nothing waits for its end. A line may be cut in two anywhere.
"""

import json

import interpose
from interpose import Exchange, Handler, Request, Response


class Counter:
    def __init__(self) -> None:
        self.rest = b""
        self.tokens = 0

    def look(self, chunk: bytes | None) -> bytes:
        *lines, self.rest = (self.rest + (chunk or b"\n")).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
                choices = json.loads(line[5:]).get("choices", [])
                self.tokens += sum(bool(one.get("delta", {}).get("content")) for one in choices)
        return chunk or b""


@interpose.filter
async def count_tokens(exchange: Exchange, request: Request, forward: Handler) -> Response:
    request.fields.set("Accept-Encoding", "identity")
    response = await forward(exchange, request)
    if response.fields.get("Content-Type", "").startswith("text/event-stream"):
        counter = Counter()
        response.body = response.body.map(counter.look)
        exchange.at_end(lambda outcome: exchange.notes.update(tokens=str(counter.tokens)))
    return response

"""Changes messages of WebSockets: takes the prices of a feed up by a tenth, and lets clients send no orders.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/websocket_edit.py

The messages of one direction come one after the other; what is not forwarded is gone.
"""

import json

import interpose
from interpose import Exchange, Message, Pass


@interpose.messages
async def edit(exchange: Exchange, message: Message, forward: Pass) -> None:
    if message.kind != "text":
        await forward(message)
        return
    value = json.loads(message.text)
    if message.inbound and value.get("type") == "order":
        return
    if not message.inbound and "price" in value:
        value["price"] = round(value["price"] * 1.1, 2)
        message = message.with_data(json.dumps(value))
    await forward(message)

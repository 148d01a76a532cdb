"""Adds a field to every request and another one to every response.

interpose proxy --script examples/scripts/add_field.py
"""

import interpose


@interpose.filter
async def add_fields(
    exchange: interpose.Exchange, request: interpose.Request, forward: interpose.Handler
) -> interpose.Response:
    request.fields.set("X-Passed-Through", "interpose")
    response = await forward(exchange, request)
    response.fields.set("X-Exchange", exchange.id)
    return response

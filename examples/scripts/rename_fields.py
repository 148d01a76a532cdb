"""Gives fields other names, for clients and servers that call the same thing differently.

interpose gateway 127.0.0.1:9000 --script examples/scripts/rename_fields.py
"""

import interpose
from interpose import Exchange, Fields, Handler, Request, Response

OF_REQUESTS = {"X-Customer": "X-Tenant-Id"}
OF_RESPONSES = {"X-Tenant-Id": "X-Customer", "X-Trace": "X-Request-Id"}


def rename(fields: Fields, names: dict[str, str]) -> None:
    for old, new in names.items():
        values = fields.get_all(old)
        fields.remove(old)
        for value in values:
            fields.add(new, value)


@interpose.filter
async def rename_fields(exchange: Exchange, request: Request, forward: Handler) -> Response:
    rename(request.fields, OF_REQUESTS)
    response = await forward(exchange, request)
    rename(response.fields, OF_RESPONSES)
    return response

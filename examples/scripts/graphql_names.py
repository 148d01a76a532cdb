"""Notes in the log what a GraphQL request asks for, since all of them have the same URL.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/graphql_names.py

The access log in JSON has `"graphql": "query Orders"` among the notes of a line, and so has the console.
"""

import json
import re

import interpose
from interpose import Exchange, Handler, Request, Response

OPERATION = re.compile(r"\b(query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]*)")


@interpose.filter
async def graphql_names(exchange: Exchange, request: Request, forward: Handler) -> Response:
    if request.method == "POST" and request.target.path.endswith("/graphql"):
        content = await interpose.read(request, limit=1 << 20)
        try:
            asked = json.loads(content)
            names = {name: kind for kind, name in OPERATION.findall(asked["query"])}
            name = asked.get("operationName") or next(iter(names), "")
            exchange.notes["graphql"] = f"{names.get(name, 'query')} {name or '(no name)'}"
        except (ValueError, KeyError, TypeError):
            exchange.notes["graphql"] = "unreadable"
    return await forward(exchange, request)

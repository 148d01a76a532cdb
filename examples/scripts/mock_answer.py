"""Answers some requests by itself, so that a page can be built before its server is.

interpose gateway 127.0.0.1:9000 --script examples/scripts/mock_answer.py
curl http://127.0.0.1:8080/api/users/7
"""

import json
import re

import interpose
from interpose import Exchange, Handler, Request, Response

USER = re.compile(r"/api/users/([0-9]+)")


@interpose.filter
async def mock_answer(exchange: Exchange, request: Request, forward: Handler) -> Response:
    found = USER.fullmatch(request.target.path)
    if request.method != "GET" or found is None:
        return await forward(exchange, request)
    user = {"id": int(found[1]), "name": f"User {found[1]}", "groups": ["staff"]}
    return Response.text(200, json.dumps(user) + "\n", "application/json")

"""Changes JSON on its way to the client: here, every object gets a key more.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/rewrite_json.py

`interpose.read` undoes gzip and the like; `interpose.replace` takes off the fields that speak of the old content.
"""

import json

import interpose
from interpose import Exchange, Handler, Request, Response


@interpose.filter
async def rewrite_json(exchange: Exchange, request: Request, forward: Handler) -> Response:
    request.fields.remove("Range", "If-Range")  # half of it is no JSON
    response = await forward(exchange, request)
    media_type = response.fields.get("Content-Type", "").partition(";")[0].strip()
    if request.method == "HEAD" or response.status != 200 or media_type != "application/json":
        return response
    value = json.loads(await interpose.read(response, limit=1 << 20))
    if isinstance(value, dict):
        value["seen_by"] = "interpose"
        interpose.replace(response, json.dumps(value))
    return response

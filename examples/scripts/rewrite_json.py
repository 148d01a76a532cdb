"""Changes JSON on its way to the client: here, every object gets a key more.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/rewrite_json.py

The server must send plain and whole content for that, so what asks for anything else is taken off the request.
"""

import json

import interpose

MAX_BYTES = 1 << 20


@interpose.filter
async def rewrite_json(
    exchange: interpose.Exchange, request: interpose.Request, forward: interpose.Handler
) -> interpose.Response:
    request.fields.set("Accept-Encoding", "identity")
    request.fields.remove("Range", "If-Range")
    response = await forward(exchange, request)
    if request.method == "HEAD" or not is_plain_json(response):
        return response
    content = await response.body.read(MAX_BYTES)
    try:
        value = json.loads(content)
    except ValueError:
        response.body = interpose.Body(content)
        return response
    if isinstance(value, dict):
        value["seen_by"] = "interpose"
    response.body = interpose.Body(json.dumps(value).encode())
    response.fields.remove("ETag", "Content-MD5", "Content-Digest", "Repr-Digest")  # they speak of the old content
    return response


def is_plain_json(response: interpose.Response) -> bool:
    media_type = (response.fields.get("Content-Type") or "").partition(";")[0].strip().lower()
    is_small = response.body.length is None or response.body.length <= MAX_BYTES
    return (
        response.status == 200
        and media_type == "application/json"
        and is_small
        and "Content-Encoding" not in response.fields
    )

"""Signs requests, so that a server knows that they came through here and are as they were sent.

    SIGNING_KEY=secret interpose gateway 127.0.0.1:9000 --script examples/scripts/sign_requests.py

The signature is an HMAC with SHA-256 over method, target, time and content, one below the other.
"""

import hashlib
import hmac
import os
import time

import interpose
from interpose import Exchange, Handler, Request, Response

KEY = os.environ.get("SIGNING_KEY", "change me").encode()
MAX_BYTES = 10 << 20


@interpose.filter(phase=interpose.Phase.SELECT)  # the innermost: what is signed changes no more
async def sign(exchange: Exchange, request: Request, forward: Handler) -> Response:
    content = await request.body.read(MAX_BYTES)
    request.body = interpose.Body(content)
    at = str(int(time.time()))
    target = request.target.path + ("" if request.target.query is None else f"?{request.target.query}")
    signed = "\n".join((request.method, target, at, hashlib.sha256(content).hexdigest()))
    request.fields.set("X-Signed-At", at)
    request.fields.set("X-Signature", hmac.new(KEY, signed.encode(), hashlib.sha256).hexdigest())
    return await forward(exchange, request)

"""The API's servers: two versions of it, and who signs tokens.

`curl -X POST http://127.0.0.1:9003/break` makes a version answer 500 from then on.
"""

import json
import time
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ISSUER, AUDIENCE, LIFETIME_S = "https://login.example", "orders", 3600
PASSWORD = "example"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = {**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "today", "use": "sig", "alg": "ES256"}


def version(name: str) -> Starlette:
    """One version of the API, which says which one it is."""

    async def orders(request: Request) -> Response:
        if server.state.is_broken:
            return JSONResponse({"error": "broken"}, 500)
        said = {"version": name, "user": request.headers.get("x-user")}
        if request.method == "GET":
            return JSONResponse({**said, "orders": []})
        try:
            return JSONResponse({**said, "order": json.loads(await request.body())}, 201)
        except ValueError:
            return JSONResponse({"error": "not JSON"}, 400)

    async def break_down(request: Request) -> Response:
        server.state.is_broken = True
        return Response(status_code=204)

    routes = [Route("/orders", orders, methods=["GET", "POST"]), Route("/break", break_down, methods=["POST"])]
    server = Starlette(routes=routes)
    server.state.is_broken = False
    return server


async def token(request: Request) -> Response:
    said = parse_qs((await request.body()).decode())
    if not said.get("user") or said.get("password") != [PASSWORD]:
        return JSONResponse({"error": "invalid_grant"}, 400)
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": said["user"][0], "iat": now, "exp": now + LIFETIME_S}
    signed = jwt.encode(claims, KEY, "ES256", headers={"kid": "today"})
    answer = {"access_token": signed, "token_type": "Bearer", "expires_in": LIFETIME_S}
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


async def keys(request: Request) -> Response:
    return JSONResponse({"keys": [PUBLIC]})


stable, canary = version("stable"), version("canary")
issuer = Starlette(routes=[Route("/token", token, methods=["POST"]), Route("/keys", keys)])

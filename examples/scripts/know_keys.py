"""Knows programs by a key that they send, which goes no further. Keys stand in the file as their SHA-256.

[[authentication]]
name = "keys"
kind = "script"
script = "know_keys.py"
"""

import hashlib

import interpose
from interpose import Exchange, Identity, Request

# printf %s "$KEY" | sha256sum
KEYS = {
    "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683": Identity("backup", ("machines",)),
}


@interpose.authenticator
async def who(exchange: Exchange, request: Request) -> Identity | None:
    key = request.fields.get("X-Api-Key")
    if key is None:
        return None
    request.fields.remove("X-Api-Key")
    return KEYS.get(hashlib.sha256(key.encode()).hexdigest())

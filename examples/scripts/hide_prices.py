"""Leaves prices out of the JSON that clients get, and says so at the end of pages, which flow on meanwhile.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/hide_prices.py

Contents come without their coding (gzip, br, zstd, deflate), which is made again behind.
"""

import json
from typing import Any

import interpose
from interpose import Exchange


def without_prices(value: Any) -> Any:
    if isinstance(value, list):
        return [without_prices(one) for one in value]
    if isinstance(value, dict):
        return {key: without_prices(one) for key, one in value.items() if key != "price"}
    return value


@interpose.content(when="response.type:*json", whole=True, max_bytes=4 << 20)
def hide_prices(exchange: Exchange, content: bytes) -> bytes:
    return json.dumps(without_prices(json.loads(content))).encode()


@interpose.content(when="response.type:text/html")
def end_with_a_word(exchange: Exchange, chunk: bytes) -> bytes:
    return chunk or b"<!-- without prices -->"

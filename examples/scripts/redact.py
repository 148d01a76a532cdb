"""Blacks out what looks like the number of a payment card, in texts and JSON that go to clients.

    interpose gateway 127.0.0.1:9000 --script examples/scripts/redact.py

What has sixteen digits and is no number of a card, by the digit that checks the others, is left alone.
"""

import re

import interpose
from interpose import Exchange, Handler, Request, Response

NUMBER = re.compile(rb"(?<![0-9])(?:[0-9]{4}[ -]?){3}[0-9]{4}(?![0-9])")


def hidden(found: re.Match[bytes]) -> bytes:
    digits = [int(digit) for digit in found[0].decode() if digit.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[::2]]
    if (sum(doubled) + sum(digits[1::2])) % 10:
        return found[0]
    return b"*" * (len(found[0]) - 4) + found[0][-4:]


@interpose.filter
async def redact(exchange: Exchange, request: Request, forward: Handler) -> Response:
    request.fields.remove("Range", "If-Range")
    response = await forward(exchange, request)
    media_type = response.fields.get("Content-Type", "")
    if request.method == "HEAD" or not media_type.startswith(("text/", "application/json")):
        return response
    content = await interpose.read(response, limit=4 << 20)
    if (changed := NUMBER.sub(hidden, content)) != content:
        interpose.replace(response, changed)
    return response

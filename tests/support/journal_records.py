"""Records to put into a journal."""

from __future__ import annotations

from typing import Any

from interpose.core.record import Part, Record, Try

STARTED = 1_790_000_000.0

BROWSER = b"Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nUser-Agent: Mozilla/5.0 (X11) Firefox/128.0\r\n"


def record(number: int = 0, **changes: Any) -> Record:
    """An ordinary exchange; `number` tells it from others."""
    target = f"https://shop.example/item/{number}?page={number % 5}"
    known: dict[str, Any] = {
        "exchange": f"1-{number:x}",
        "started": STARTED + number,
        "duration_s": 0.25,
        "listener": "proxy",
        "client": ("10.0.0.7", 40000 + number),
        "local": ("127.0.0.1", 8080),
        "scheme": "https",
        "method": "GET",
        "host": "shop.example",
        "port": 443,
        "target": target,
        "request": Part(BROWSER),
        "status": 200,
        "reason": "OK",
        "response_s": 0.1,
        "response": Part(b"Content-Type: text/plain\r\n", b"item %d" % number, len(b"item %d" % number), 0.2),
        "attempts": [Try("https://shop.example", 0.01, 0.02, 0.1, ("10.1.1.1", 5555), ("192.0.2.1", 443))],
    }
    return Record(**{**known, **changes})

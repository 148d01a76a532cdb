"""`interpose flows follow --pcapng` and `export --pcapng --follow`: a capture that grows while things happen.

The instance gives records as it gives them to any export, and this command makes packets of them: what Wireshark reads
costs the instance nothing more. Nothing waits for order here, so packets come a moment after their exchange has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from interpose.cli import instance
from interpose.cli.control_client import NoAnswer, asked
from interpose.cli.flow_follow import happenings, newest_of
from interpose.cli.say import Refused

REST_S = 0.25
"""The journal is asked again so often at most."""


async def captured(control: Path, query: str, file: Any, *, from_now: bool) -> None:
    """Write to `file` what has passed (unless `from_now`) and what passes, until the instance ends or nobody reads."""
    from interpose.storage.exports.capture import LiveCapture

    live = LiveCapture()
    after = await newest_of(control, "")
    if query:
        await newest_of(control, query)  # what is wrong with it is said before anything is waited for
    try:
        async with AsyncExitStack() as until_the_end:
            received = await until_the_end.enter_async_context(asked(control, "GET", "/v1/events"))
            if received.status >= 300:
                raise instance.refused(control, received.status, json.loads(await received.content()))
            until_the_end.callback(_end, file, live.end)
            _write(file, live.begin())
            after = await _copied(control, query, after if from_now else 0, live.packets, file)
            looked_at = time.monotonic()
            async for events in happenings(received):
                if any(event.kind in ("flow", "dropped") for event in events):
                    await asyncio.sleep(max(0.0, looked_at + REST_S - time.monotonic()))
                    looked_at = time.monotonic()
                    after = await _copied(control, query, after, live.packets, file)
    except NoAnswer as error:
        raise Refused(f"{control.parent.name}: {error}", status=1) from None
    except BrokenPipeError:  # Wireshark has seen enough
        if file is sys.stdout.buffer:  # what is buffered for it must not complain at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _copied(control: Path, query: str, after: int, packets: Callable[[Any], bytes], file: Any) -> int:
    """Write the packets of the records with numbers above `after`; the greatest number."""
    from interpose.storage.journal.transfer import entry_of

    path = f"/v1/flows/export?{urlencode({'q': query, 'after': after})}"
    async with asked(control, "GET", path) as received:
        if received.status >= 300:
            raise instance.refused(control, received.status, json.loads(await received.content()))
        waiting: list[bytes] = []
        number = 0
        async for piece in received.pieces():
            *ends, rest = piece.split(b"\n")
            for end in ends:
                line = b"".join((*waiting, end))
                waiting = []
                number += 1
                if number > 1:  # the first one says what it is
                    entry = entry_of(line, number)
                    after = max(after, entry.id)
                    file.write(packets(entry.record))
            waiting.append(rest)
    file.flush()
    return after


def _end(file: Any, rest: Callable[[], bytes]) -> None:
    """Write the ends of all connections, if anybody still reads: also after Ctrl-C the file is a whole one."""
    with suppress(OSError):
        _write(file, rest())


def _write(file: Any, data: bytes) -> None:
    file.write(data)
    file.flush()

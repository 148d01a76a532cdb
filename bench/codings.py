"""What each level of each content coding makes of text, and what that costs: `script/bench --codings`.

The content goes through the encoders of the product in the pieces in which it compresses what flows. `stall` is the
longest that one piece has kept the loop of its worker; `zlib` is what nginx uses, for comparison.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from bench.origin import MIB
from bench.text import page, records
from interpose.filters.compression.flow import PIECE_BYTES
from interpose.protocol.content_coding import Encoder

LEVELS = {"gzip": (1, 3, 4, 5, 6, 7, 9), "br": (0, 1, 3, 4, 5, 6, 7, 9, 11), "zstd": (1, 3, 5, 6, 9, 12, 19)}
ROUNDS = 3


class Making(Protocol):
    """An encoder."""

    def encode(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Zlib:
    """zlib as nginx uses it."""

    def __init__(self, level: int) -> None:
        self._stream = zlib.compressobj(level, zlib.DEFLATED, 31)

    def encode(self, data: bytes) -> bytes:
        """What may leave after `data`."""
        return self._stream.compress(data)

    def finish(self) -> bytes:
        """What is left."""
        return self._stream.flush()


class Cost(NamedTuple):
    """What one coding makes of one content."""

    ms_per_mib: float
    part: float
    stall_ms: float


def cost(make: Callable[[], Making], content: bytes) -> Cost:
    """The least of some rounds: what disturbs only adds."""
    return min(_once(make, content) for _ in range(ROUNDS))


def _once(make: Callable[[], Making], content: bytes) -> Cost:
    begun = time.process_time()
    encoder, made, longest = make(), 0, 0.0
    for at in range(0, len(content), PIECE_BYTES):
        before = time.process_time()
        made += len(encoder.encode(content[at : at + PIECE_BYTES]))
        longest = max(longest, time.process_time() - before)
    before = time.process_time()
    made += len(encoder.finish())
    longest = max(longest, time.process_time() - before)
    used_s = time.process_time() - begun
    return Cost(used_s * 1e3 * MIB / len(content), made / len(content), longest * 1e3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, as Markdown."""
    argparse.ArgumentParser(prog="python -m bench.codings", description=__doc__).parse_args(arguments)
    contents = {"page": page(MIB), "records": records(MIB)}
    print(
        "| coding | level |"
        + "".join([f" {name}: ms CPU / MiB | % of its size |" for name in contents])
        + " stall, ms |"
    )
    print("|---|---|" + "---|" * (2 * len(contents) + 1))
    rows: list[tuple[str, int, Callable[[], Making]]] = [("zlib", 5, lambda: Zlib(5))]
    rows += [(coding, level, lambda c=coding, n=level: Encoder(c, n)) for coding in LEVELS for level in LEVELS[coding]]
    for coding, level, make in rows:
        costs = [cost(make, content) for content in contents.values()]
        cells = "".join([f" {one.ms_per_mib:.1f} | {one.part:.1%} |".replace("%", "") for one in costs])
        print(f"| {coding} | {level} |{cells} {max(one.stall_ms for one in costs):.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

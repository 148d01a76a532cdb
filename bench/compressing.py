"""What it costs to compress what passes: 1 MiB of text for each answer, by gzip at level 5."""

from __future__ import annotations

import http.client
import zlib

from bench import cpu, memory
from bench.measure import WARM_UP_S, Bench, oddities
from bench.origin import MIB, TEXT_PATH
from bench.peers import Peer, Role, Running
from bench.process import MeasureError
from bench.results import Measurement
from bench.text import page

CONNECTIONS = 8


def compressed(peer: Peer, bench: Bench) -> Measurement:
    """CPU seconds per MiB of text. The note says what is left of it."""
    with bench.started(peer, Role.COMPRESSING) as answering:
        part = _part(answering) / MIB
        bench.load(answering, TEXT_PATH, connections=CONNECTIONS, seconds=WARM_UP_S)
        before = cpu.snapshot(answering.program.pids())
        seen = bench.load(answering, TEXT_PATH, connections=CONNECTIONS, seconds=bench.seconds)
        after = cpu.snapshot(answering.program.pids())
        # Many are half-way when the time is over: what counts is the bytes that came.
        answers = seen.received_bytes / (part * MIB)
        if not answers:
            raise MeasureError("gave no answer under load")
        used_s = sum(cpu.spent(before, after).values())
        return Measurement(
            cost=used_s / answers,
            rate_per_s=answers / seen.seconds,
            p50_us=seen.p50_us,
            p99_us=seen.p99_us,
            pss_bytes=memory.pss_bytes(answering.program.pids()),
            busy=used_s / seen.seconds,
            notes=[*oddities(seen, is_whole=before.keys() <= after.keys()), f"{part:.2%} of the text is left"],
        )


def _part(answering: Running) -> int:
    """How long the compressed answer is; `MeasureError` when it is not the text, compressed."""
    connection = http.client.HTTPConnection("127.0.0.1", answering.setup.port, timeout=20)
    try:
        connection.request("GET", TEXT_PATH, headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.headers["Content-Encoding"] != "gzip" or zlib.decompress(content, 31) != page(MIB):
        raise MeasureError("did not compress the text")
    return len(content)

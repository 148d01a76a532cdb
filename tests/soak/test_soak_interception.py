"""The first request to a host that was never asked for: what looking into it adds to the handshake with its server."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from pathlib import Path

import pytest
from tests.support.background import in_background
from tests.support.intercepting import Intercepting, served_with
from tests.support.program import Program
from tests.support.raw_origin import OK, RawOrigin, answering

HOSTS = 60
MOST_MS = 3.0


@pytest.mark.soak
def test_the_first_request_to_a_new_host_takes_three_milliseconds_more_at_most(tmp_path: Path) -> None:
    world = Intercepting(tmp_path)
    names = [f"{number}.site.test" for number in range(HOSTS)]
    trusted = ssl.create_default_context(cafile=world.origins.file)
    with in_background(lambda: RawOrigin(answering(OK), tls=served_with(world.origins.issue(*names)))) as origin:
        config = tmp_path / "proxy.toml"
        config.write_text(
            f'[log]\naccess = "off"\n[interception]\ndir = "{world.directory}"\nca_file = "{world.origins.file}"\n'
            '[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\n'
        )
        with Program(tmp_path, "run", str(config)) as program:
            added = []
            for name in names:
                direct = first_answer(origin.port, None, name, trusted)
                through = first_answer(program.port, f"127.0.0.1:{origin.port}", name, world.client())
                added.append((through - direct) * 1000)
    assert statistics.median(added) <= MOST_MS, statistics.quantiles(added, n=10)


def first_answer(port: int, authority: str | None, name: str, context: ssl.SSLContext) -> float:
    """Seconds from the connection until an answer is there."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        if authority is not None:
            plain.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            assert plain.recv(1000).startswith(b"HTTP/1.1 200")
        with context.wrap_socket(plain, server_hostname=name) as tls:
            port_said = "" if authority is None else authority.partition(":")[2]
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}:{port_said}\r\n\r\n".encode())
            answer = tls.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            return time.perf_counter() - began

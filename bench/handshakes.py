"""What a TLS handshake costs in full: TLS 1.3, a P-256 key, nothing resumed, and no request behind it.

Run as a program it is one of the clients: `python -m bench.handshakes PORT SECONDS` prints how often it did it.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time

from bench import cpu, memory
from bench.measure import WARM_UP_S, Bench
from bench.peers import ROOT, Peer, Role
from bench.process import MeasureError
from bench.results import Measurement

CLIENTS = 3
"""Each makes one handshake after the other."""

ANSWER_DEADLINE_S = 10.0


def handshakes(peer: Peer, bench: Bench) -> Measurement:
    """CPU seconds per handshake, with the connection's beginning and end."""
    with bench.started(peer, Role.TLS_GATEWAY) as answering:
        port = answering.setup.port
        drive(port, WARM_UP_S)
        before = cpu.snapshot(answering.program.pids())
        began = time.monotonic()
        made = drive(port, bench.seconds)
        took_s = time.monotonic() - began
        after = cpu.snapshot(answering.program.pids())
        used_s = sum(cpu.spent(before, after).values())
        if not made:
            raise MeasureError("shook no hands")
        return Measurement(
            cost=used_s / made,
            rate_per_s=made / took_s,
            pss_bytes=memory.pss_bytes(answering.program.pids()),
            busy=used_s / took_s,
            notes=[f"{made / used_s:.0f} a CPU second"],
        )


def drive(port: int, seconds: float) -> int:
    """Handshakes from several clients; how many there were."""
    command = [sys.executable, "-m", "bench.handshakes", f"{port}", f"{seconds}"]
    clients = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(CLIENTS)
    ]
    try:
        said = [client.communicate(timeout=seconds + 20) for client in clients]
    except subprocess.TimeoutExpired as error:
        raise MeasureError("the clients did not end in time") from error
    finally:
        for client in clients:
            client.kill()
            client.wait()
    if any(client.returncode for client in clients):
        raise MeasureError(f"a client failed: {said[0][1].strip()[-160:]}")
    return sum(int(out) for out, _ in said)


def shake_hands(port: int, seconds: float) -> int:
    """How often it can be done, one after the other, each with its own key exchange. Nothing is left unread, or the
    connection would end with a reset."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    made, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=ANSWER_DEADLINE_S) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            assert not secured.session_reused
            secured.shutdown(socket.SHUT_WR)
            while secured.recv(4096):
                pass
        made += 1
    return made


if __name__ == "__main__":
    print(shake_hands(int(sys.argv[1]), float(sys.argv[2])))

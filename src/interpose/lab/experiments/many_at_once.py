"""One process, forked workers, threads and an event loop under the same load."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from interpose.lab.actors import Actor
from interpose.lab.experiment import Experiment
from interpose.lab.scene import Scene
from interpose.lab.servers import WORKERS
from interpose.net.blocking import BlockingSocket, tcp_socket

START_S = 20.0
LOOK_S = 0.1
"""How long an answer is waited for that cannot come."""

CLIENTS, LINES = 32, 20
MODELS = {
    "one": "one process",
    "forks": f"{WORKERS} forked workers",
    "threads": "a thread for each client",
    "loop": "an event loop (Interpose)",
}
PATIENCE = {"one": 1, "forks": WORKERS}
"""How many silent clients it takes until nobody else is served. The others serve on."""

MOST_SILENT = 8


def run(scene: Scene) -> None:
    """Silent clients first, then a load."""
    with contextlib.ExitStack() as started:
        processes = {model: started.enter_context(serving(model)) for model in MODELS}
        ports = {model: port_of(process) for model, process in processes.items()}
        scene.begin("silent", "talker", "server")
        for model, name in MODELS.items():
            scene.title(name[0].upper() + name[1:])
            silence(scene, ports[model], PATIENCE.get(model))
        for model, name in MODELS.items():
            seconds, served = load(ports[model])
            scene.expect(served == CLIENTS, f"With {name} every client of the load is served.")
            scene.fact(name, f"{served} clients served in {seconds * 1000:.0f} ms", f"{served} clients served")
    scene.fact("the load", f"{CLIENTS} clients at once, {LINES} lines each")


def silence(scene: Scene, port: int, limit: int | None) -> None:
    """As many silent clients as it takes, and somebody who has something to say."""
    silent, talker = Actor(scene, "silent", other="server"), Actor(scene, "talker", other="server")
    quiet = []
    for _ in range(limit or MOST_SILENT):
        sock = tcp_socket()
        scene.cleanup.callback(sock.close)
        sock.connect(port)
        quiet.append(sock)
    count = len(quiet)
    scene.sent("silent", "server", f"connect(){f' {count} times' if count > 1 else ''}, and not a word")
    asking = talker.tcp(silently=True)
    asking.plain.connect(port)
    asking.plain.send_all(b"hello\n")
    scene.sent("talker", "server", 'connect(), send("hello\\n")')
    if limit is not None:
        scene.expect(not asking.plain.has_something(LOOK_S), "Behind silent clients nobody else is served.")
        talker.did("no answer")
        quiet.pop().close()
        silent.did("one leaves" if count > 1 else "leaves")
    scene.expect(asking.plain.receive() == b"HELLO\n", "The talker is answered.")
    scene.sent("server", "talker", '"HELLO\\n"')
    asking.plain.close()
    for sock in quiet:
        sock.close()


def load(port: int) -> tuple[float, int]:
    """Seconds for the load, and how many clients got every answer."""
    served: list[int] = []
    together = threading.Barrier(CLIENTS + 1)
    clients = [threading.Thread(target=chat, args=(port, together, served), daemon=True) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    together.wait(START_S)
    began = time.monotonic()
    for client in clients:
        client.join(START_S)
    return time.monotonic() - began, len(served)


def chat(port: int, together: threading.Barrier, served: list[int]) -> None:
    """One client of the load."""
    together.wait(START_S)
    sock: BlockingSocket = tcp_socket()
    with contextlib.suppress(OSError):
        sock.connect(port)
        answers = 0
        for _ in range(LINES):
            sock.send_all(b"what is said here comes back in capitals\n")
            received = sock.receive()
            while received and not received.endswith(b"\n"):
                received += sock.receive()
            answers += received == b"WHAT IS SAID HERE COMES BACK IN CAPITALS\n"
        if answers == LINES:
            served.append(port)
    sock.close()


@contextmanager
def serving(model: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server of that kind, in processes of its own."""
    command = [sys.executable, "-m", "interpose.lab.servers", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # a group of its own: the server and what it has forked


def port_of(process: subprocess.Popen[bytes]) -> int:
    """The port that a server has written."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], START_S)[0]:
        raise TimeoutError("a server did not start")
    return int(process.stdout.readline() or b"0")


EXPERIMENT = Experiment(
    name="many-at-once",
    question="How can one server serve many clients at once?",
    run=run,
    answer="""
        A process that serves one client after the other is stopped by the first one that says nothing: it
        waits in recv(), and everybody else in the queue of the listening socket. Under a load of quick
        clients it looks well, and that is what makes it treacherous.

        Forked workers share the listening socket; the kernel gives each connection to one of them. 2 workers
        serve 2 clients at the same time, on as many processors, and 2 silent ones stop them. A thread for
        each client stops for nobody, but costs memory and switching for each, and in Python only one thread
        computes at a time.

        An event loop asks the kernel which sockets have something to say and serves only those: a silent
        client costs a few kilobytes and no time. But it computes on one processor, and what takes long holds
        up all. So Interpose runs one loop in each of several worker processes: loops for many clients,
        processes for many processors.
    """,
    code=("lab/servers.py", "engine/echo.py:Echo", "net/listen.py:bind_group", "engine/crew.py:Crew.hire"),
)

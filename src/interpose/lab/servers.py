"""Four ways for one server to serve many: `python -m interpose.lab.servers MODEL` answers in capitals until ended.

It writes the port to standard output. Whoever started it ends its process group; should that process be gone, the
server notices within a few seconds and ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable

from interpose.engine.echo import upper
from interpose.net.blocking import BlockingSocket, tcp_socket

WORKERS = 2
BACKLOG = 256


def one(welcoming: BlockingSocket) -> None:
    """One process, one client after the other."""
    parent = os.getppid()
    while os.getppid() == parent:
        with contextlib.suppress(OSError):  # nobody came within the deadline, or a client broke off
            converse(welcoming.accept())


def threads(welcoming: BlockingSocket) -> None:
    """A thread for each client."""
    parent = os.getppid()
    while os.getppid() == parent:
        with contextlib.suppress(OSError):
            threading.Thread(target=converse, args=(welcoming.accept(),), daemon=True).start()


def forks(welcoming: BlockingSocket) -> None:
    """Forked workers that share the listening socket; each serves one client after the other."""
    for _ in range(WORKERS):
        if os.fork() == 0:
            one(welcoming)
            os._exit(0)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def loop(_: BlockingSocket) -> None:
    """Interpose: one event loop for all clients."""
    from interpose.config.roles import upper_config
    from interpose.config.serve import serve
    from interpose.lab.product import port_of

    async def work() -> None:
        parent = os.getppid()
        async with serve(upper_config(["127.0.0.1:0"])) as running:
            [address] = running.addresses.values()
            print(port_of(address), flush=True)
            while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells a process that its parent is gone
                await asyncio.sleep(1)

    asyncio.run(work())


def converse(sock: BlockingSocket) -> None:
    """Answer in capitals until the client ends."""
    try:
        while data := sock.receive():
            sock.send_all(upper(data))
    except OSError:
        return  # the client broke off, or was silent for longer than the deadline
    finally:
        sock.close()


MODELS: dict[str, Callable[[BlockingSocket], None]] = {"one": one, "forks": forks, "threads": threads, "loop": loop}


def main() -> None:
    """Serve in the manner that the argument names."""
    model = MODELS[sys.argv[1]]
    welcoming = tcp_socket()
    if model is not loop:
        welcoming.reuse_address()
        welcoming.bind()
        welcoming.listen(BACKLOG)
        print(welcoming.local.port, flush=True)
    model(welcoming)


if __name__ == "__main__":
    main()

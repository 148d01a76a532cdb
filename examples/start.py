"""Starts the servers that an example's configuration names, then becomes the Interpose before them.

    examples/start shop                        sets up what is missing first
    python examples/start.py examples/shop     in an environment that has Interpose

What the configuration calls `[[upstream]] name = "orders"` is the application `orders` in the `servers.py` beside it;
each of its addresses is a process of its own, to be killed for a try. All of them read from one pipe whose other end
only Interpose has: however that ends, they end too.
"""

import importlib
import os
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import uvicorn


def start(directory: str, *options: str) -> None:
    """Start the servers and become Interpose; does not return."""
    file = Path(directory, "interpose.toml")
    ours, interposes = os.pipe()
    os.set_inheritable(interposes, True)
    for upstream in tomllib.loads(file.read_text())["upstream"]:
        for address in upstream["servers"]:
            host, _, port = address.rpartition(":")
            with socket.create_server((host, int(port))) as listening:
                subprocess.Popen(
                    [sys.executable, __file__, "--serve", directory, upstream["name"], str(listening.fileno())],
                    stdin=ours,
                    pass_fds=[listening.fileno()],
                    process_group=0,  # Ctrl-C is for Interpose, which still needs them while it drains
                )
    os.close(ours)
    program = str(Path(sys.executable).with_name("interpose"))
    os.execv(program, [program, "run", str(file), *options])


def serve(directory: str, name: str, descriptor: str) -> None:
    """Be one server, on a socket that listens already."""
    threading.Thread(target=end_with_interpose, daemon=True).start()
    sys.path.insert(0, directory)
    application = getattr(importlib.import_module("servers"), name)
    config = uvicorn.Config(application, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


def end_with_interpose() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    elif len(sys.argv) > 1:
        start(*sys.argv[1:])
    else:
        sys.exit(__doc__)

"""A small HTTP server as a process of its own, to be killed, stopped and started again.

    with SmallOrigin("a") as origin:           answers every request with its name
        origin.kill(); origin.start()          the same port
        origin.process.send_signal(SIGSTOP)    connections are accepted and nothing is answered

`delay_s` is how long each answer takes, `status` what it says. Requests with an `X-Id` are counted by it; `/posts`
gives the counts.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

DEADLINE_S = 10.0


class SmallOrigin:
    """See the module."""

    def __init__(self, name: str, *, delay_s: float = 0.0, status: int = 200) -> None:
        self.name = name
        self._arguments = [str(delay_s), str(status)]
        self._port = "0"

    def __enter__(self) -> SmallOrigin:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve; returns when it listens."""
        command = [sys.executable, __file__, self.name, self._port, *self._arguments]
        self.process: subprocess.Popen[str] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._port = self.process.stdout.readline().strip()
        assert self._port, "the origin did not start"

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def serve(name: str, port: int, delay_s: float, status: int) -> None:
    posts: dict[str, int] = {}

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields: dict[str, str] = {}
                for line in head.decode("latin-1").split("\r\n")[1:-2]:
                    key, _, value = line.partition(": ")
                    fields[key.lower()] = value
                await reader.readexactly(int(fields.get("content-length", "0")))
                if "x-id" in fields:
                    posts[fields["x-id"]] = posts.get(fields["x-id"], 0) + 1
                await asyncio.sleep(delay_s)
                said: Any = posts if head.startswith(b"GET /posts ") else name
                content = json.dumps(said).encode() if said is posts else name.encode()
                writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))

"""Interpose inside another program: an origin, a gateway before it, and one request through both.

    python examples/library.py

The gateway runs in this process and on this event loop. Port 0 takes any free port; `running.addresses` has the real
one, by the name of the listener.
"""

import asyncio
import urllib.request

import interpose


async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
    writer.close()


def fetch(url: str) -> tuple[str, str]:
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode(), answer.headers["Via"]


async def main() -> None:
    server = await asyncio.start_server(origin, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    config = interpose.gateway_config([f"{host}:{port}"], ["127.0.0.1:0"], log="off")
    async with server, interpose.serve(config) as running:
        text, via = await asyncio.to_thread(fetch, f"http://{running.addresses['gateway']}/")
        print(f"{text.strip()}, by way of {via}")
        print(f"requests: {running.counters['requests_total']:.0f}")


if __name__ == "__main__":
    asyncio.run(main())

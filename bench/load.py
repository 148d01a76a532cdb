"""The load: wrk for requests, plain sockets for one request and for bulk through a tunnel."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.origin import program
from bench.process import MeasureError

READ_BYTES = 256 * 1024
ANSWER_DEADLINE_S = 10.0

# About what a browser sends for an image of a page.
BROWSER_FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
    "Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.7",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "http://www.example.org/articles/2023/index.html",
    "Cookie": "session=5b1f0c9a7e3d4f62; theme=dark; consent=essential",
    "DNT": "1",
    "Sec-Fetch-Dest": "image",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Site": "same-origin",
}

# Another URL for each request, in this run and in the next one: nothing of it is in any cache.
_ANEW = """\
local asked = 0
local begun = os.time()
request = function()
  asked = asked + 1
  return wrk.format(nil, wrk.path .. "?" .. begun .. "-" .. asked)
end
"""

# The same few URLs again and again, made once.
_AMONG = """\
local asked, kept = 0, {{}}
request = function()
  asked = asked % {count} + 1
  kept[asked] = kept[asked] or wrk.format(nil, wrk.path .. "?" .. asked)
  return kept[asked]
end
"""

_SCRIPT = """\
wrk.path = {target}
{fields}
{more}
function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format("RESULT %d %d %d %d %d %d %d", summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk did and saw."""

    requests: int
    received_bytes: int
    seconds: float
    p50_us: float
    p99_us: float
    bad_statuses: int
    broken: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came through a tunnel."""

    received_bytes: int
    seconds: float


def wrk(
    port: int,
    target: str,
    *,
    host: str,
    directory: Path,
    connections: int,
    seconds: float,
    tls: bool = False,
    close: bool = False,
    anew: bool = False,
    among: int = 1,
) -> Load:
    """Load from `connections` connections on 127.0.0.1:port for whole seconds; `MeasureError` when wrk cannot run.
    `anew`: each request is for another URL; `among`: for the next one of so many."""
    path = program("wrk")
    if path is None:
        raise MeasureError("the load needs wrk, which is not installed")
    fields = {"Host": host, **BROWSER_FIELDS} | ({"Connection": "close"} if close else {})
    lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in fields.items())
    more = _ANEW if anew else _AMONG.format(count=among) if among > 1 else ""
    script = directory / "load.lua"
    script.write_text(_SCRIPT.format(target=json.dumps(target), fields=lines, more=more))
    whole = max(1, round(seconds))
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    command = [path, "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", str(script), url]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=whole + 30, check=False)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"wrk did not end within {whole + 30} s") from error
    for line in result.stdout.splitlines():
        if line.startswith("RESULT "):
            numbers = [int(word) for word in line.split()[1:]]
            requests, received, duration_us, p50_us, p99_us, bad, broken = numbers
            return Load(requests, received, duration_us / 1e6, p50_us, p99_us, bad, broken)
    raise MeasureError(f"wrk gave no result: {(result.stderr or result.stdout).strip()[-160:]}")


def head(target: str, host: str, *, upload_bytes: int | None = None) -> bytes:
    """The head of a GET with the browser's fields, or of a POST when there is something to upload."""
    fields = {"Host": host, **BROWSER_FIELDS}
    if upload_bytes is not None:
        fields["Content-Length"] = str(upload_bytes)
    method = "GET" if upload_bytes is None else "POST"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(connection: socket.socket, buffer: bytearray) -> int:
    """Read one whole answer with a Content-Length; its size. `MeasureError` for any other answer."""
    view = memoryview(buffer)
    received = b""
    while b"\r\n\r\n" not in received:
        count = connection.recv_into(view)
        if not count or len(received) > 64 * 1024:
            raise MeasureError("the connection ended, or went on, within the head of an answer")
        received += view[:count]
    fields, _, body = received.partition(b"\r\n\r\n")
    lines = fields.lower().split(b"\r\n")
    if lines[0].split()[1:2] != [b"200"]:
        raise MeasureError(f"answered {lines[0].decode(errors='replace')!r} instead of 200")
    prefix = b"content-length:"
    length = next((int(line[len(prefix) :]) for line in lines if line.startswith(prefix)), None)
    if length is None:
        raise MeasureError("answered without Content-Length")
    missing = length - len(body)
    while missing > 0:
        count = connection.recv_into(view, min(missing, len(view)))
        if not count:
            raise MeasureError(f"the connection ended {missing} bytes before the end of the body")
        missing -= count
    return len(fields) + 4 + length


@contextlib.contextmanager
def connected(port: int, *, tls: bool) -> Iterator[socket.socket]:
    """A connection to 127.0.0.1:port, with a deadline on every step."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_DEADLINE_S) as connection:
        if not tls:
            yield connection
            return
        with _any_certificate().wrap_socket(connection) as secured:
            yield secured


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def probe(connection: socket.socket, target: str, host: str) -> int:
    """One request on an open connection; the size of its answer."""
    connection.sendall(head(target, host))
    return read_answer(connection, bytearray(64 * 1024))


def bulk(port: int, origin: int, target: str, *, through_connect: bool, total_bytes: int, limit_s: float) -> Transfer:
    """Fetch a file again and again through one tunnel until `total_bytes` came or the time is over."""
    host = f"127.0.0.1:{origin}"
    request = head(target, host)
    buffer = bytearray(READ_BYTES)
    received = 0
    with connected(port, tls=False) as connection:
        if through_connect:
            _open_tunnel(connection, host)
        start = time.monotonic()
        while received < total_bytes and time.monotonic() - start < limit_s:
            connection.sendall(request)
            received += read_answer(connection, buffer)
        return Transfer(received, time.monotonic() - start)


def _open_tunnel(connection: socket.socket, authority: str) -> None:
    connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = connection.recv(4096)
        if not received:
            raise MeasureError("the connection ended before CONNECT was answered")
        answer += received
    status = answer.split(None, 2)[1:2]
    if status != [b"200"]:
        raise MeasureError(f"CONNECT was answered {answer.splitlines()[0].decode(errors='replace')!r}")

"""What a request costs whose TLS is looked into: keep-alive connections in tunnels, TLS on both sides of the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import Iterator

from bench import cpu, memory
from bench.measure import WARM_UP_S, Bench
from bench.origin import KIB, SIZES_BYTES, nginx_user, program
from bench.peers import Peer, Role, Setup
from bench.process import MeasureError, free_port, running
from bench.results import Measurement

CONNECTIONS = 32
PATH = "/1k"

_ORIGIN = """\
daemon off; worker_processes 1; pid {directory}/tls.pid; error_log stderr error; {user}
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; default_type application/octet-stream;
  client_body_temp_path {directory}/tb; proxy_temp_path {directory}/tp; fastcgi_temp_path {directory}/tf;
  uwsgi_temp_path {directory}/tu; scgi_temp_path {directory}/ts;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; root {directory}/secret;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
  }}
}}
"""

INTERPOSE = """\
[process]
workers = {workers}
state_dir = "{directory}/state"

[log]
access = "{log}"

[interception]
dir = "{directory}/ca"
ca_file = "{certificate}"

[[listener]]
address = "127.0.0.1:{port}"
role = "proxy"
"""


def interpose(path: str, setup: Setup) -> list[str]:
    """Interpose with an authority of its own, and the origin's certificate as the one to believe."""
    subprocess.run([path, "ca", "init", "--dir", str(setup.directory / "ca")], capture_output=True, check=True)
    config = setup.directory / "interpose.toml"
    values = {"directory": setup.directory, "log": setup.log, "workers": setup.workers, "port": setup.port}
    config.write_text(INTERPOSE.format(**values, certificate=setup.certificate))
    return [path, "run", str(config)]


def mitmproxy(setup: Setup) -> list[str]:
    """mitmproxy's options for the same: it makes an authority by itself, and looks into everything."""
    return ["--set", f"ssl_verify_upstream_trusted_ca={setup.certificate}", "--set", "http2=false"]


def intercepted(peer: Peer, bench: Bench) -> Measurement:
    """CPU seconds per answer, from as many connections as a client in Python can drive."""
    with _origin(bench) as upstream, bench.started(peer, Role.INTERCEPTING, upstream=upstream) as answering:
        port = answering.setup.port
        asyncio.run(_drive(port, upstream, WARM_UP_S))
        before = cpu.snapshot(answering.program.pids())
        began = time.monotonic()
        answers = asyncio.run(_drive(port, upstream, bench.seconds))
        took_s = time.monotonic() - began
        after = cpu.snapshot(answering.program.pids())
        used_s = sum(cpu.spent(before, after).values())
        if not answers:
            raise MeasureError("gave no answer under load")
        return Measurement(
            cost=used_s / answers,
            rate_per_s=answers / took_s,
            pss_bytes=memory.pss_bytes(answering.program.pids()),
            busy=used_s / took_s,
        )


@contextlib.contextmanager
def _origin(bench: Bench) -> Iterator[int]:
    """The port of an origin that speaks TLS, with the certificate of the bench."""
    nginx = program("nginx")
    if nginx is None:
        raise MeasureError("the origin needs nginx, which is not installed")
    port = free_port()
    directory = bench.directory / f"tls-{port}"
    (directory / "secret").mkdir(parents=True)
    directory.chmod(0o755)
    (directory / "secret" / PATH[1:]).write_bytes(bytes(SIZES_BYTES[PATH]))
    certificate, key = bench.certificate
    config = directory / "nginx.conf"
    values = {"directory": directory, "port": port, "certificate": certificate, "key": key}
    config.write_text(_ORIGIN.format(**values, user=nginx_user()))
    command = [nginx, "-p", str(directory), "-e", "stderr", "-c", str(config)]
    with running(command, directory=directory, output=directory / "output") as process:
        process.wait_until_accepting(port, deadline_s=10)
        yield port


async def _drive(port: int, upstream: int, seconds: float) -> int:
    """Requests over tunnels for so long, each connection one after the other; how many were answered."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # what it shows is the subject of tests
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_client(port, upstream, context, until) for _ in range(CONNECTIONS))))


async def _client(port: int, upstream: int, context: ssl.SSLContext, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * KIB)
    authority = f"127.0.0.1:{upstream}"
    answers = 0
    try:
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname="127.0.0.1")
        request = f"GET {PATH} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
        while time.monotonic() < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise MeasureError(f"answered {head[:60]!r}")
            await reader.readexactly(SIZES_BYTES[PATH])
            answers += 1
    except (OSError, asyncio.IncompleteReadError) as error:
        raise MeasureError(f"a tunnel broke: {error}") from error
    finally:
        writer.close()
    return answers

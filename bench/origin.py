"""The origins: nginx with files of known sizes, and one that never reads a body."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.process import MeasureError, free_port, running
from bench.text import page

KIB, MIB, GIB = 1024, 1024**2, 1024**3
TEXT_PATH = "/1m.html"
"""Text, of 1 MiB; nginx tells its type by the name."""

SIZES_BYTES = {"/1k": KIB, "/64k": 64 * KIB, "/1m": MIB, "/10m": 10 * MIB, "/64m": 64 * MIB}

_ORIGIN_CONFIG = """\
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr error; {user}
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s; default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {directory}/site; }}
}}
"""


@contextlib.contextmanager
def origin(directory: Path) -> Iterator[int]:
    """The port of the origin that every measurement shares: static files from a page cache, no access log."""
    nginx = program("nginx")
    if nginx is None:
        raise MeasureError("the origin needs nginx, which is not installed")
    site = directory / "site"
    site.mkdir(parents=True)
    directory.chmod(0o755)
    for name, size in SIZES_BYTES.items():
        with (site / name[1:]).open("wb") as file:
            for _ in range(0, size, MIB):
                file.write(os.urandom(min(size, MIB)))
    (site / TEXT_PATH[1:]).write_bytes(page(MIB))
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(_ORIGIN_CONFIG.format(directory=directory, port=port, user=nginx_user()))
    command = [nginx, "-p", str(directory), "-e", "stderr", "-c", str(config)]
    with running(command, directory=directory, output=directory / "output") as process:
        process.wait_until_accepting(port, deadline_s=10)
        yield port


def program(name: str) -> str | None:
    """Where a system program is; Debian keeps servers in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def nginx_user() -> str:
    """Started by root, nginx gives its worker to somebody who may not read a private temporary directory."""
    return "user root;" if os.geteuid() == 0 else ""


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1 and its key, EC P-256, made by the openssl command."""
    openssl = program("openssl")
    if openssl is None:
        raise MeasureError("the TLS workloads need the openssl command, which is not installed")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [openssl, "req", "-x509", *curve, *name, "-keyout", str(key), "-out", str(certificate)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if made.returncode:
        raise MeasureError(f"openssl made no certificate: {made.stderr.strip()[-160:]}")
    return certificate, key


class DeafOrigin:
    """Answers a request without a body; of one with a body it reads the head and then nothing more."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        # Small, and inherited by what is accepted: the upload shall press on the proxy, not vanish into the kernel.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="deaf-origin", daemon=True)

    def __enter__(self) -> DeafOrigin:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping.set()
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        heads: dict[socket.socket, bytes] = {}
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._is_stopping.is_set():
                for ready, _ in selector.select(0.1):
                    if ready.fileobj is self._listener:
                        connection = opened.enter_context(self._listener.accept()[0])
                        heads[connection] = b""
                        selector.register(connection, selectors.EVENT_READ)
                    elif isinstance(ready.fileobj, socket.socket) and not _goes_on(ready.fileobj, heads):
                        selector.unregister(ready.fileobj)


def _goes_on(connection: socket.socket, heads: dict[socket.socket, bytes]) -> bool:
    """Read once, answer a whole head; False when this connection is to be read no more."""
    try:
        received = connection.recv(4 * KIB)
    except OSError:
        return False
    head = heads[connection] + received
    heads[connection] = head
    if not received:
        connection.close()
        return False
    if b"\r\n\r\n" not in head:
        return True
    head = head.partition(b"\r\n\r\n")[0].lower()
    if b"\r\ncontent-length: " in head or b"\r\ntransfer-encoding:" in head:
        return False
    heads[connection] = b""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return True

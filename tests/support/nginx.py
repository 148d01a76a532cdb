"""nginx as an origin on loopback, given sockets that listen already: ports are free, and nothing is waited for."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.certificates import Pair

SEARCH = os.environ.get("PATH", "") + os.pathsep + os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log notice;
events {{ worker_connections 512; }}
http {{
  types {{
    text/html html; text/css css; text/javascript js; application/json json; image/png png; text/plain txt;
  }}
  default_type application/octet-stream;
  client_body_temp_path {directory}/temporary;
  proxy_temp_path {directory}/temporary;
  fastcgi_temp_path {directory}/temporary;
  uwsgi_temp_path {directory}/temporary;
  scgi_temp_path {directory}/temporary;
  client_max_body_size 64m;
  log_format plain '$request_method $request_uri $status';
  access_log {directory}/access.log plain;
  keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port};
    {tls}
    {unix}
    root {root};
    dav_methods PUT;
    create_full_put_path on;
    max_ranges 4;
    {extra}
  }}
}}
"""


class Nginx:
    """`with Nginx(directory, root) as origin` serves the files below `root`; PUT stores there.

    With `certificate` there is https as well, at `tls_port`; with `unix` also a socket of that path.
    `extra` are directives for the server. It can be killed, with its worker, and started again on the same ports; while
    it is paused it accepts connections and answers nothing.
    """

    def __init__(
        self, directory: Path, root: Path, *, certificate: Pair | None = None, unix: Path | None = None, extra: str = ""
    ) -> None:
        self.directory = directory
        self._root = root
        self._certificate = certificate
        self._unix = unix
        self._extra = extra
        self._sockets: list[socket.socket] = []
        self.port = self.tls_port = 0

    def __enter__(self) -> Nginx:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def start(self) -> None:
        """Serve; connections are welcome when it returns."""
        self._sockets.clear()
        self.port = self._bind(self.port)
        tls = unix = ""
        if self._certificate is not None:
            self.tls_port = self._bind(self.tls_port)
            tls = f"listen 127.0.0.1:{self.tls_port} ssl; ssl_certificate {self._certificate.certificate};"
            tls += f" ssl_certificate_key {self._certificate.key};"
        if self._unix is not None:
            sock = socket.socket(socket.AF_UNIX)
            self._sockets.append(sock)
            self._unix.unlink(missing_ok=True)
            sock.bind(str(self._unix))
            sock.listen(64)
            unix = f"listen unix:{self._unix};"
        file = self.directory / "nginx.conf"
        file.write_text(
            CONFIGURATION.format(
                user="user root;" if os.geteuid() == 0 else "",
                directory=self.directory,
                port=self.port,
                root=self._root,
                tls=tls,
                unix=unix,
                extra=self._extra,
            )
        )
        numbers = [sock.fileno() for sock in self._sockets]
        program = shutil.which("nginx", path=SEARCH)
        assert program is not None, "nginx is not installed; script/packages nginx"
        self._process = subprocess.Popen(
            [program, "-e", str(self.directory / "error.log"), "-p", str(self.directory), "-c", str(file)],
            pass_fds=numbers,
            # Descriptors named here are taken over instead of bound: nginx's own way to be replaced while it runs.
            env={**os.environ, "NGINX": "".join(f"{number};" for number in numbers)},
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        for sock in self._sockets:
            sock.close()

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self._signal(signal.SIGKILL)
        self._process.wait(10)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Tell the process and its worker."""
        os.killpg(self._process.pid, number)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.go_on()
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def _bind(self, port: int) -> int:
        sock = socket.create_server(("127.0.0.1", port), backlog=256)
        self._sockets.append(sock)
        return int(sock.getsockname()[1])

    @property
    def requests(self) -> list[str]:
        """`METHOD TARGET STATUS` of what was answered, in that order."""
        file = self.directory / "access.log"
        return file.read_text().splitlines() if file.exists() else []

"""Other people's relays, as judges of ours: nginx's stream module and HAProxy, given sockets that listen already."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.nginx import SEARCH

NGINX_MODULES = "/usr/lib/nginx/modules"

_NGINX = """
load_module {modules}/ngx_stream_module.so;
daemon off; {user} worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log notice;
events {{ worker_connections 512; }}
stream {{
  server {{ listen 127.0.0.1:{port}; {directives} }}
}}
http {{
  access_log off;
  client_body_temp_path {directory}/t; proxy_temp_path {directory}/t; fastcgi_temp_path {directory}/t;
  uwsgi_temp_path {directory}/t; scgi_temp_path {directory}/t;
  {servers}
}}
"""

_HAPROXY = """
global
  nbthread 1
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend front
  bind fd@{descriptor} {options}
  {front}
{rest}
"""


@contextmanager
def nginx_stream(directory: Path, directives: str, servers: str = "") -> Iterator[int]:
    """nginx with one stream server of these directives (and these of HTTP); the port it relays from."""
    with _listening() as sock:
        port = int(sock.getsockname()[1])
        directory.mkdir()
        user = "user root;" if os.geteuid() == 0 else ""
        file = directory / "nginx.conf"
        file.write_text(
            _NGINX.format(
                modules=NGINX_MODULES, directory=directory, user=user, port=port, directives=directives, servers=servers
            )
        )
        command = [_found("nginx"), "-e", str(directory / "error.log"), "-p", str(directory), "-c", str(file)]
        # Descriptors named here are taken over instead of bound: nginx's own way to be replaced while it runs.
        with _running(command, sock, {"NGINX": f"{sock.fileno()};"}):
            yield port


@contextmanager
def haproxy(directory: Path, front: str, rest: str = "", *, options: str = "") -> Iterator[int]:
    """HAProxy with one frontend; the port it listens on. `options` are those of `bind`."""
    with _listening() as sock:
        directory.mkdir()
        file = directory / "haproxy.cfg"
        file.write_text(_HAPROXY.format(descriptor=sock.fileno(), options=options, front=front, rest=rest))
        with _running([_found("haproxy"), "-db", "-q", "-f", str(file)], sock, {}):
            yield int(sock.getsockname()[1])


@contextmanager
def _listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        yield sock


@contextmanager
def _running(command: list[str], sock: socket.socket, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, pass_fds=[sock.fileno()], env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
        assert process.poll() is None, f"{command[0]} ended with {process.poll()}; its directory is {command[-1]}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait(10)


def _found(name: str) -> str:
    program = shutil.which(name, path=SEARCH)
    assert program is not None, f"{name} is not installed; script/packages {name}"
    return program

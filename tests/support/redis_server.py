"""A Redis of a test's own, on a Unix socket in a directory of its own.

with RedisServer() as server:
    server.url                       unix://...
    server.address                   127.0.0.1:PORT, if it has one
    server.stop(); server.go_on()    SIGSTOP, SIGCONT
    server.kill(); server.start()    SIGKILL; again, with nothing in it
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import redis

DEADLINE_S = 10.0
PORTS_TRIED = 5


class RedisServer:
    """See the module. `options` are those of the command line: `("--maxmemory", "2mb")`. `tls` are those of a port
    that speaks TLS; it gets one."""

    def __init__(self, *options: str, tls: tuple[str, ...] = ()) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="redis-test-"))
        self.path = self.directory / "redis.sock"
        self.url = f"unix://{self.path}"
        self.address = ""
        self._options = options
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        for _ in range(PORTS_TRIED):
            if self._has_started():
                return
        raise AssertionError("redis-server has ended at once, again and again")

    def _has_started(self) -> bool:
        """Whether it answers; not when another program has taken its port meanwhile."""
        self.path.unlink(missing_ok=True)
        port = free_port() if self._tls else 0
        self.address = f"127.0.0.1:{port}"
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        assert binary is not None, "redis-server is not installed; script/test installs it"
        self._process = subprocess.Popen(
            [
                *(binary, "--port", "0", "--unixsocket", str(self.path), "--dir", str(self.directory)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no", *self._options),
                *(("--tls-port", str(port), *self._tls) if port else ()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + DEADLINE_S
        while not self._answers():
            if self._process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)
        return True

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None

    def stop(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client for the test itself; close it."""
        return redis.Redis(unix_socket_path=str(self.path))

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.settimeout(1)
                asking.connect(str(self.path))
                asking.sendall(b"PING\r\n")
                return asking.recv(100) == b"+PONG\r\n"
            except OSError:
                return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment: Redis cannot be told to take any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The directory of one instance: its lock, its process id, its control socket.

The lock is the kernel's and ends with the process, however that ends; the other files are harmless when they are stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path

from interpose.protocol.number import decimal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_PATH_BYTES = 107
"""The longest path of a Unix socket, as the kernel has it."""


class StateDirectory:
    """`STATE/<name>/`, owned from `acquire` to `release`. Raises ValueError with one sentence when it cannot be had."""

    def __init__(self, state_dir: str, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} cannot be the name of an instance; use up to 64 letters, digits, dots, dashes, underscores."
            )
        self.name = name
        self.path = Path(state_dir) / name
        self.control_socket = self.path / "control.sock"
        self.was_left_behind = False
        """Whether the instance before this one ended without tidying up: its workers may need a moment to notice."""
        self._lock: int | None = None

    def acquire(self) -> None:
        """Make the directory and lock it."""
        if len(os.fsencode(self.control_socket)) > _MOST_PATH_BYTES:
            raise ValueError(
                f"{self.control_socket} is too long for a Unix socket ({_MOST_PATH_BYTES} bytes); "
                "choose a shorter state directory with --state."
            )
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ValueError(
                f"The state directory {self.path} cannot be used: {error.strerror}; choose another one with --state."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ValueError(self._who_has_it()) from error
        self._lock = lock
        pid = self.path / "pid"
        self.was_left_behind = pid.exists()
        try:
            pid.write_text(f"{os.getpid()}\n")
        except OSError as error:
            self.release()
            raise ValueError(f"{pid} cannot be written: {error.strerror}; choose another --state.") from error

    def release(self) -> None:
        """Remove what only a running instance has, and unlock. The lock's file stays: removing it would race."""
        if self._lock is None:
            return
        for file in (self.control_socket, self.path / "pid"):
            with contextlib.suppress(OSError):
                file.unlink()
        os.close(self._lock)
        self._lock = None

    def _who_has_it(self) -> str:
        pid = None
        with contextlib.suppress(OSError):
            pid = decimal((self.path / "pid").read_bytes().rstrip(b"\n"))
        by = "" if pid is None else f" as process {pid}"
        return f"An instance named {self.name!r} is already running{by}; stop it, or choose another name with --name."

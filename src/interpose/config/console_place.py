"""Where the console listens: bound before anything starts, since workers must know what they may never lead to."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from interpose.config.console_model import Console
from interpose.config.load import state_dir
from interpose.config.model import Config
from interpose.net.address import SocketAddress, parse_address
from interpose.net.listen import address_of, bind

TOKEN_FILE = "console-token"


class ConsolePlace:
    """A bound socket. `address` is its real one."""

    def __init__(self, sock: Any, hosts: tuple[str, ...]) -> None:
        self.socket = sock
        self.address = address_of(sock)
        self.hosts = hosts

    @classmethod
    def bound(cls, console: Console) -> ConsolePlace:
        """Bind it. ValueError, a sentence, when the address cannot be had, nor another port where that would do."""
        try:
            return cls(bind(console.address), console.hosts)
        except ValueError:
            where = parse_address(console.address)
            if not console.else_any_port or where.is_unix:
                raise
            return cls(bind(str(SocketAddress(where.host, 0))), console.hosts)

    def in_place(self, config: Config) -> Config:
        """`config` with the console's real address, by which everybody knows it."""
        if config.console is None:
            return config
        return replace(config, console=replace(config.console, address=self.address, else_any_port=False))


def token_of(config: Config) -> str:
    """The token of this instance's console, made at its first start and kept, so that bookmarks live on. ValueError."""
    file = Path(state_dir(config.process.state_dir)) / config.process.name / TOKEN_FILE
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as kept:
            token = kept.read(200).strip()
            if len(token) < 32 or not token.replace("-", "").replace("_", "").isalnum():
                token = secrets.token_urlsafe(32)
                kept.seek(0)
                kept.truncate()
                kept.write(f"{token}\n")
            return token
    except OSError as error:
        raise ValueError(f"{file} cannot be used: {error.strerror}; choose another --state.") from error

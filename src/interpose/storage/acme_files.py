"""What an ACME client keeps: its account, the answers to challenges that are under way, certificates with their keys.

    account.json            the account's key and address
    challenges/TOKEN        what an authority is to find under `/.well-known/acme-challenge/TOKEN`
    certificates/NAME.pem   the key, the certificate and what links it to its authority, in one file: one rename changes
                            all of it, and who reads it never sees a key with the certificate before it

The directory may be shared by machines. Everything in it is for its owner only.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from interpose.storage.durable import DIRECTORY, lock, read_small, replace_file

MOST_BYTES: Final = 1 << 20

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")


class AcmeFiles:
    """The directory. Raises OSError as files do; what was never kept is b""."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def make(self) -> None:
        """Have the directories, for the owner only."""
        for path in (self.directory, self.directory / "challenges", self.directory / "certificates"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)

    @contextlib.contextmanager
    def owned(self) -> Iterator[bool]:
        """Whether nobody else, on any machine, orders certificates meanwhile."""
        with _open(self.directory) as descriptor:
            yield lock(descriptor)

    @property
    def account(self) -> bytes:
        """What `keep_account` was given."""
        return self._read(self.directory, "account.json")

    def keep_account(self, account: bytes) -> None:
        """Keep the account."""
        with _open(self.directory) as descriptor:
            replace_file(descriptor, "account.json", account)

    def answer_to(self, token: str) -> bytes:
        """What stands under a token."""
        return self._read(self.directory / "challenges", token) if _TOKEN.fullmatch(token) is not None else b""

    def publish(self, token: str, answer: bytes) -> None:
        """Have `answer` stand under a token from now on: every worker reads it from here. ValueError for no token."""
        if _TOKEN.fullmatch(token) is None:
            raise ValueError("The authority's token is none.")
        with _open(self.directory / "challenges") as descriptor:
            replace_file(descriptor, token, answer)

    def withdraw(self, token: str) -> None:
        """Let nothing stand there any more."""
        (self.directory / "challenges" / token).unlink(missing_ok=True)

    def path_of(self, name: str) -> Path:
        """Where the certificate of a host is, or will be. ValueError for what cannot be a host."""
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a host that a certificate can be kept for.")
        return self.directory / "certificates" / f"{name}.pem"

    def certificate_of(self, name: str) -> bytes:
        """The certificate of a host, with its key and its chain."""
        path = self.path_of(name)
        return self._read(path.parent, path.name)

    def keep_certificate(self, name: str, pem: bytes) -> None:
        """Keep the certificate of a host."""
        path = self.path_of(name)
        with _open(path.parent) as descriptor:
            replace_file(descriptor, path.name, pem)

    @staticmethod
    def _read(directory: Path, name: str) -> bytes:
        try:
            with _open(directory) as descriptor:
                return read_small(descriptor, name, MOST_BYTES)
        except FileNotFoundError:
            return b""


@contextlib.contextmanager
def _open(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

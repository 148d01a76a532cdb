"""The development certificate of an installation: where it is kept, and that there is one."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from interpose.config.load import state_dir
from interpose.config.model import Config
from interpose.net.development import PemPair, is_good, new_authority, new_leaf
from interpose.storage.durable import DIRECTORY, replace_file

log = logging.getLogger("interpose")

FOLDER = "development"
"""Below the state directory, beside the instances, which share it."""


class DevelopmentFiles(NamedTuple):
    """The certificate, its key, and the authority that a browser is told to trust."""

    certificate: str
    key: str
    authority: str


def development_files(config: Config) -> DevelopmentFiles:
    """Where they are, whether there are any or not."""
    directory = state_dir(config.process.state_dir) / FOLDER
    return DevelopmentFiles(*(str(directory / name) for name in ("localhost.pem", "localhost.key", "authority.pem")))


def development_pair(config: Config, now: datetime | None = None) -> DevelopmentFiles:
    """The certificate, made anew where there is none that is good for another month. One process makes it, others wait
    for it. ValueError, a sentence, when it cannot be kept."""
    files = development_files(config)
    directory = Path(files.certificate).parent
    now = now or datetime.now(UTC)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory) as descriptor:
            authority = PemPair(_read(files.authority), _read(str(directory / "authority.key")))
            if not is_good(authority.certificate, authority.certificate, now) or not authority.key:
                authority = new_authority(now)
                replace_file(descriptor, "authority.key", authority.key)
                replace_file(descriptor, "authority.pem", authority.certificate)
            if not is_good(_read(files.certificate), authority.certificate, now) or not _read(files.key):
                leaf = new_leaf(authority, now)
                replace_file(descriptor, "localhost.key", leaf.key)
                replace_file(descriptor, "localhost.pem", leaf.certificate)
                log.info("made a certificate for localhost; browsers believe it that trust %s", files.authority)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(f"The development certificate cannot be kept in {directory}: {why}.") from error
    return files


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """The directory's descriptor, while nobody else writes there."""
    descriptor = os.open(directory, DIRECTORY)
    try:
        os.fchmod(descriptor, 0o700)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""

"""Captures together with the secrets of the TLS in them (`flows secrets`, `flows export --secrets`)."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from interpose.cli.say import Refused
from interpose.storage.exports.secrets import Secrets, secrets_in, sessions_in, with_secrets

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


def secrets_of(key_log: Path) -> Secrets:
    """What is in a key log."""
    try:
        with key_log.open("rb") as file:
            return secrets_in(file)
    except OSError as error:
        raise Refused(f"{key_log} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except ValueError as error:
        raise Refused(f"{key_log} is of no use: {error}") from None


def combined(capture: BinaryIO, secrets: Secrets, output: Path, *, demands_some: bool = False) -> None:
    """Write the capture again, with the secrets of the sessions that begin in it, and say of how many."""
    try:
        capture.seek(0)
        sessions = sessions_in(capture)
        known = sorted(sessions & secrets.keys())
        if demands_some and not known:
            raise Refused(
                f"none of the {len(sessions)} TLS sessions that begin in the capture has its secrets there.", status=1
            )
        capture.seek(0)
        pieces = with_secrets(capture, b"".join(secrets[random] for random in known))
        if str(output) == "-":
            if sys.stdout.isatty():
                raise Refused("a capture is nothing to read; name a file, or pipe it to wireshark -k -i -.")
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
        else:
            with os.fdopen(_own(output, os.fstat(capture.fileno())), "wb") as file:
                file.writelines(pieces)
    except ValueError as error:
        raise Refused(f"the capture cannot be read: {error}") from None
    print(f"{output}: with the secrets of {len(known)} of {len(sessions)} TLS sessions.", file=sys.stderr)


def _own(output: Path, capture: os.stat_result) -> int:
    """A file that nobody else can read: with its secrets a capture is worth what was said in it."""
    try:
        descriptor = os.open(output, _WRITE, 0o600)
        try:
            found = os.fstat(descriptor)
            if os.path.samestat(found, capture):
                raise Refused(f"{output} is what is read; name another file.")
            if stat.S_ISREG(found.st_mode):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise Refused(f"{output} cannot be written: {(error.strerror or str(error)).lower()}.") from None
    return descriptor

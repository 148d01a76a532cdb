"""The secrets of TLS sessions in a file, a line for each, as browsers and curl write them for Wireshark
(SSLKEYLOGFILE; draft-ietf-tls-keylogfile).

Who has such a file and the packets can read what passed, so it is its owner's alone: it is made so, made so again where
it was open to others, and never a link or another user's. It is opened once, and every context is led to what was
opened then, whatever becomes of the name. OpenSSL appends whole lines, so several processes may share a file.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import weakref

log = logging.getLogger("interpose")

_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_DESCRIPTORS = "/proc/self/fd"


class KeyLog:
    """See the module. ValueError, a sentence, for a file that cannot be used."""

    def __init__(self, file: str) -> None:
        check_key_log(file)
        try:
            descriptor = os.open(file, _OPEN, 0o600)
        except OSError as error:
            raise _unusable(file, error) from error
        weakref.finalize(self, os.close, descriptor)
        _demand_own(file, os.fstat(descriptor))
        os.fchmod(descriptor, 0o600)
        self.file = file
        self._path = f"{_DESCRIPTORS}/{descriptor}" if os.path.isdir(_DESCRIPTORS) else file

    def follow(self, context: ssl.SSLContext) -> None:
        """Write down the secrets of all sessions of `context`, which holds a descriptor for it. Where there is none
        left, traffic goes on without."""
        try:
            context.keylog_filename = self._path
        except OSError as error:
            log.warning("secrets of some TLS sessions are not written to %s: %s", self.file, error.strerror or error)


def check_key_log(file: str) -> None:
    """ValueError, a sentence, when secrets cannot be written to `file`. It need not be there."""
    try:
        _demand_own(file, os.lstat(file))
    except FileNotFoundError:
        directory = os.path.dirname(file) or "."
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ValueError(f"Secrets of TLS cannot be written to {file}: {directory} takes no files.") from None
    except OSError as error:
        raise _unusable(file, error) from error


def _demand_own(file: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"Secrets of TLS are written to an ordinary file only, and {file} is none.")
    if found.st_uid != os.geteuid():
        raise ValueError(f"{file} belongs to another user, who could read the secrets of TLS in it.")


def _unusable(file: str, error: OSError) -> ValueError:
    return ValueError(f"Secrets of TLS cannot be written to {file}: {(error.strerror or str(error)).lower()}.")

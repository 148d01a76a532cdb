"""Certificates of sites, made when they are asked for: one TLS context for each host, kept and renewed in time.

All of them have one key, which this process makes for itself and never writes down: what a worker held is gone with it,
and making a key for each host would protect nothing that the authority's own key does not open. Each names one host:
the one that was asked for and, on the other side, verified.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interpose.net.authority import CertificateAuthority, private_pem
from interpose.net.key_log import KeyLog
from interpose.net.tls import server_context

LIVES = timedelta(days=5)
"""From now; with what they begin before now, less than seven days."""

RENEWED_BEFORE = timedelta(days=1)
MOST_KEPT = 512
"""Contexts, of about 20 KiB each."""

MOST_KEPT_WITH_KEY_LOG = 64
"""Each has that file open for itself."""


class Leaf(NamedTuple):
    """The context of one host, and when it is made anew."""

    context: ssl.SSLContext
    renew_at: datetime


class Leaves:
    """Contexts for servers by host, those asked for last kept. `minted` counts the certificates made; `key_log` has
    the secrets of what is said with them."""

    def __init__(
        self,
        authority: CertificateAuthority,
        *,
        most: int = MOST_KEPT,
        key_log: KeyLog | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.authority = authority
        self.minted = 0
        self._most = most if key_log is None else min(most, MOST_KEPT_WITH_KEY_LOG)
        self._key_log = key_log
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = private_pem(self._key)
        self._kept: OrderedDict[str, Leaf] = OrderedDict()

    def context(self, host: str) -> ssl.SSLContext:
        """What to be `host` with."""
        leaf = self._kept.get(host)
        now = self._clock()
        if leaf is None or now >= leaf.renew_at:
            leaf = self._kept[host] = self._mint(host, now)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(host)
        return leaf.context

    def _mint(self, host: str, now: datetime) -> Leaf:
        certificate = self.authority.issue(host, self._key.public_key(), now, LIVES)
        with _as_file(self._key_pem + certificate.public_bytes(serialization.Encoding.PEM)) as path:
            context = server_context(path, path)
        if self._key_log is not None:
            self._key_log.follow(context)
        self.minted += 1
        ends = certificate.not_valid_after_utc
        # The authority's last day is everybody's: there is no longer one to be had by asking again.
        return Leaf(context, ends if ends == self.authority.expires else ends - RENEWED_BEFORE)

    def __len__(self) -> int:
        return len(self._kept)


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path at which `content` can be read while inside: OpenSSL is given its certificates by path only.

    The file has no name anywhere and is never on a disk, where the system can do that.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name

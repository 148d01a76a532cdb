"""Certificates that are ordered: for which hosts, where they are kept, and the thread that orders them.

The thread is the supervisor's. Workers have no part in it: they read the answers to challenges, and the certificates,
from the storage (`filters/acme_challenge.py`, `net/certificate.py`). What fails is tried again later, and whatever
happens here, listeners go on with what they have (THREATS F19).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import random
from typing import Any, NamedTuple, Protocol

import msgspec

from interpose.config.acme_hosts import all_hosts, hosts_of
from interpose.config.load import state_dir
from interpose.config.model import Config, Listener, Tls
from interpose.config.renewal import renew_at, retry_in_s
from interpose.config.step import Step
from interpose.core.failure import Failure, Side
from interpose.core.handler import Phase
from interpose.storage.acme_files import AcmeFiles

log = logging.getLogger("interpose")

LOOK_S = 5.0
"""How often the thread looks whether something is due: a look costs nothing."""

STOP_S = 1.0
"""How long the end of the instance waits for an order that is under way."""


class Ordering(Protocol):
    """What orders one certificate (`net.acme.AcmeClient.issue`)."""

    def __call__(self, name: str) -> bytes:
        """A key, its certificate and the chain, in PEM. ValueError, a sentence."""


class Ordered(msgspec.Struct):
    """How the certificate of one host stands."""

    host: str
    due: datetime
    """When it is ordered next."""
    failures: int = 0
    """In a row."""
    problem: str = ""
    """Why the last order failed."""


class Lifetime(NamedTuple):
    """From when to when a certificate is good."""

    begins: datetime
    ends: datetime


def files_of(config: Config) -> AcmeFiles:
    """Where things are kept."""
    assert config.acme is not None
    return AcmeFiles(config.acme.dir or state_dir(config.process.state_dir) / config.process.name / "acme")


def acme_steps(config: Config, listener: Listener) -> list[Step]:
    """What answers the authority, on every gateway that it may reach."""
    if config.acme is None or listener.role != "gateway":
        return []
    from interpose.filters.acme_challenge import PATH, AcmeChallenge

    files = files_of(config)
    return [Step(Phase.ADMIT, "acme challenge", PATH, lambda: AcmeChallenge(files.answer_to))]


class AcmeService:
    """The `Service` of `config.office` that orders certificates. `order` and `now` are for tests."""

    def __init__(
        self,
        config: Config,
        order: Ordering | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_s: float = LOOK_S,
    ) -> None:
        self._config = config
        self._files = files_of(config)
        self._order = order
        self._now = now
        self._look_s = look_s
        self._ordered: dict[str, Ordered] = {}
        self._present: Callable[[], Config] = lambda: config
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """See `config.office.Service`."""
        try:
            await asyncio.to_thread(self._files.make)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ValueError(f"acme.dir: {self._files.directory} cannot be used: {why}.") from error

    async def begin(self, instance: Any) -> None:
        """See `config.office.Service`. Only now is there somebody whom the authority can ask."""
        if (encoded := getattr(instance, "config", None)) is not None:
            self._present = lambda: msgspec.msgpack.decode(encoded(), type=Config)
        self._thread = threading.Thread(target=self._run, name="acme", daemon=True)
        self._thread.start()

    async def answer(self, topic: str, question: bytes) -> bytes:
        """See `config.office.Service`."""
        raise Failure("proxy_configuration_error", Side.INTERNAL, f"Nobody answers what is asked about {topic}.")

    async def close(self) -> None:
        """See `config.office.Service`. An order under way is left behind: the next instance orders anew."""
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_S)

    def told(self) -> list[Ordered]:
        """How all of them stand."""
        return list(self._ordered.values())

    # --- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.look()
            except Exception:
                log.exception("looking after certificates failed")
            self._ending.wait(self._look_s)

    def look(self) -> None:
        """Order what is due."""
        hosts = all_hosts(self._present())
        for gone in [host for host in self._ordered if host not in hosts]:
            del self._ordered[gone]
        for host in hosts:
            if host not in self._ordered:
                self._ordered[host] = Ordered(host, self._due(host))
        due = [one for one in self._ordered.values() if one.due <= self._now()]
        if not due:
            return
        with self._files.owned() as is_ours:
            for one in due if is_ours else ():
                one.due = self._due(one.host) if not one.failures else one.due  # another machine may have ordered it
                if one.due <= self._now() and not self._ending.is_set():
                    self._order_one(one)

    def _order_one(self, one: Ordered) -> None:
        try:
            pem = self._issue(one.host)
            self._files.keep_certificate(one.host, pem)
        except Exception as error:  # whatever it is: an authority that is asked every few seconds asks nobody back
            if not isinstance(error, ValueError | OSError):
                log.exception("ordering a certificate for %s met what nobody had thought of", one.host)
            one.failures += 1
            one.problem = str(error) or repr(error)
            wait_s = retry_in_s(one.failures, random())
            one.due = datetime.fromtimestamp(self._now().timestamp() + wait_s, UTC)
            log.warning("%s It is tried again in %.0f s.", one.problem, wait_s)
        else:
            one.failures, one.problem = 0, ""
            one.due = self._due(one.host)
            log.info("a certificate for %s was issued; it is renewed on %s UTC", one.host, f"{one.due:%Y-%m-%d %H:%M}")

    def _issue(self, host: str) -> bytes:
        if self._order is None:
            self._order = _ordering(self._config, self._files)
        return self._order(host)

    def _due(self, host: str) -> datetime:
        lifetime = lifetime_of(self._files.certificate_of(host))
        return self._now() if lifetime is None else renew_at(*lifetime, random())


def lifetime_of(pem: bytes) -> Lifetime | None:
    """From when to when a certificate is good; None when there is none that can be read."""
    from cryptography import x509

    with contextlib.suppress(ValueError):
        leaf = x509.load_pem_x509_certificate(pem)
        return Lifetime(leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    return None


def _ordering(config: Config, files: AcmeFiles) -> Ordering:
    """What orders from the authority. The library is loaded now, where it delays nobody."""
    from interpose.net.acme import AcmeAuthority, AcmeClient, Challenges

    assert config.acme is not None
    authority = AcmeAuthority(config.acme.directory, config.acme.email, config.acme.ca_file)
    client = AcmeClient(authority, files.account, files.keep_account)
    challenges = Challenges(files.publish, files.withdraw)
    return lambda name: client.issue(name, challenges)


def acme_pairs(config: Config, listener: Listener, tls: Tls) -> Iterator[tuple[str, str]]:
    """The hosts of a listener whose certificates are ordered, each with the file that has or will have it."""
    if config.acme is not None:
        files = files_of(config)
        for host in hosts_of(config, listener, tls):
            yield host, str(files.path_of(host))

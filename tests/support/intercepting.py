"""A proxy that looks into TLS, for scenes: its authority, what its clients trust, and origins that it can verify.

world = Intercepting(tmp_path)
origin = RawOrigin(answering(OK), tls=world.origin("127.0.0.1"))
async with product(world.config(rules=[...])) as running, RawClient(running.address()) as client:
    await client.tunnel(origin.address, world.client())
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.certificates import CertificateAuthority, Pair

from interpose import Config
from interpose.config.load import config_of
from interpose.config.roles import proxy_tables
from interpose.net import authority


class Intercepting:
    """See the module. `origins` signs the certificates of origins."""

    def __init__(self, directory: Path, *, permit: Sequence[str] = ()) -> None:
        self.directory = directory / "ca"
        self.ours = authority.CertificateAuthority.create(self.directory, permit=permit, days=30)
        self.origins = CertificateAuthority(directory, "Origins")

    def origin(self, *names: str) -> ssl.SSLContext:
        """What an origin with these names speaks TLS with."""
        return served_with(self.origins.issue(*names))

    def client(self, *protocols: str) -> ssl.SSLContext:
        """What a client speaks TLS with that trusts the proxy, and no origin by itself."""
        context = ssl.create_default_context(cadata=self.ours.pem.decode())
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def config(
        self,
        *,
        tables: dict[str, Any] | None = None,
        listener: dict[str, Any] | None = None,
        socks: bool = False,
        auth: str | None = None,
        **interception: Any,
    ) -> Config:
        """The proxy: `interception` are keys of that table, `listener` of that one, `tables` whole ones."""
        made = proxy_tables(["127.0.0.1:0"], socks=socks, auth=auth)
        made["listener"][0].update(listener or {})
        found = {"dir": str(self.directory), "ca_file": self.origins.file, **interception}
        return config_of({**made, "interception": found, **(tables or {})}, name="proxy")


def served_with(pair: Pair) -> ssl.SSLContext:
    """What a server with this certificate speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context

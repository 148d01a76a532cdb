"""Whether the files that interception needs can be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpose.config.model import Config
from interpose.config.state import authority_dir

if TYPE_CHECKING:  # making certificates takes a library that is slow to load
    from interpose.net.authority import CertificateAuthority

Try = tuple[str, Callable[[str], object]]
"""A key path, and what raises ValueError, a sentence, when what is there cannot be used; it knows the file already."""


def authority_directory(config: Config) -> Path:
    """Where the certificate authority is that a configuration means."""
    table = config.interception
    return Path(table.dir) if table is not None and table.dir else authority_dir(config.process.state_dir)


def authority(config: Config) -> CertificateAuthority:
    """The certificate authority that a configuration means. ValueError, a sentence, when it cannot be used."""
    from interpose.net.authority import CertificateAuthority

    found = CertificateAuthority.load(authority_directory(config))
    if datetime.now(UTC) >= found.expires:
        raise ValueError(found.warning(found.expires))
    return found


def key_log_file(config: Config) -> str | None:
    """Where the secrets of the TLS that is looked into are written, if anywhere."""
    if config.interception is None:
        return None
    return config.interception.keylog or os.environ.get("SSLKEYLOGFILE") or None


def tries(config: Config) -> Iterator[Try]:
    """What to try out before anything is started."""
    table = config.interception
    if table is None:
        return
    from interpose.net.key_log import check_key_log
    from interpose.net.origin_tls import ClientIdentity, OriginTls

    def verifier(**files: Any) -> Callable[[str], object]:
        return lambda _: OriginTls(**files)

    yield "interception.dir", lambda _: authority(config)
    if key_log := key_log_file(config):
        yield "interception.keylog" if table.keylog else "SSLKEYLOGFILE", lambda _: check_key_log(key_log)
    if table.ca_file:
        yield "interception.ca_file", verifier(ca_file=table.ca_file)
    if table.crl_file:
        yield "interception.crl_file", verifier(crl_file=table.crl_file)
    for number, one in enumerate(table.client_certificates, 1):
        shown = ClientIdentity(one.hosts, one.certificate, one.key)
        where = f"interception.client_certificate[{number}].certificate"
        if one.certificate and one.key:  # else it has been said already that there is no such file
            yield where, verifier(identities=(shown,))

"""The `[acme]` table of a configuration."""

from __future__ import annotations

from msgspec import Struct

from interpose.config.texts import File, Folder, Webhook

DEFAULT_DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory"


class Acme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An authority that signs certificates for hosts that it finds at this instance (RFC 8555), on a gateway without
    TLS that it reaches on port 80. For which hosts, listeners say with `acme` or `acme_hosts` in their `tls`."""

    directory: Webhook = DEFAULT_DIRECTORY
    """The URL that the authority names as its directory."""

    email: str = ""
    """Where the authority may write to when something is wrong."""

    agree_terms: bool = False
    """That you agree to the authority's terms of service. Without it nothing is ordered."""

    ca_file: File | None = None
    """Who signs the authority's own certificate, in PEM. Without it: who the system trusts."""

    dir: Folder = ""
    """Where account, challenges and certificates are kept, for the owner only. Machines that serve the same hosts share
    it. Empty: the instance's directory in the state directory."""

"""Block lists, as they are configured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.units import Bytes

Name = Annotated[str, Meta(extra={"kind": "name"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
Url = Annotated[str, Meta(extra={"kind": "webhook"})]
Host = Annotated[str, Meta(extra={"kind": "host"})]


class BlockList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of what is not to be reached."""

    name: Name
    """What page, log and counters call it."""

    file: File | None = None
    """Where it is. It is read again when it changes."""

    url: Url = ""
    """Instead of a file: where it is fetched from, and fetched again. What was fetched is kept in the state directory;
    when there is something wrong with what comes later, the old one goes on."""

    format: Literal["hosts", "domains", "filters"]
    """Lines of a hosts file, which mean just these hosts; one domain a line, with everything below it; or filters, as
    EasyList has them."""

    refresh_s: Annotated[float, Meta(ge=60, le=30 * 86400)] = 86_400.0
    """(url) How long until it is fetched again, give or take a tenth."""

    max_bytes: Bytes = 64 << 20
    """(url) The longest list that is taken."""

    except_hosts: tuple[Host, ...] = ()
    """Hosts that this list does not block, whatever it says; `*.example` stands for every name below it."""

    bypass: bool = False
    """The page offers to go there all the same."""

    bypass_s: Annotated[float, Meta(ge=1, le=30 * 86400)] = 3600.0
    """(bypass) For how long, for this host and this client."""

    listeners: tuple[Name, ...] = ()
    """The listeners it applies to, by name. Empty: all that speak HTTP or SOCKS."""

"""Redirects: what a client asks for next (RFC 9110, 15.4). A decision only; whoever follows them counts them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urljoin

from interpose.core.failure import Failure, bad_response
from interpose.core.target import Target
from interpose.protocol.target import parse_target

FOLLOWED = frozenset((301, 302, 303, 307, 308))

CREDENTIALS = ("Authorization", "Cookie")
"""Fields that a client has for one origin and never takes to another."""


class Redirect(NamedTuple):
    """The next request: its method and target, and whether it has the content of the one before.

    `is_other_origin`: credentials stay behind. `loses_tls`: what was private is not any more.
    """

    method: str
    target: Target
    keeps_content: bool
    is_other_origin: bool
    loses_tls: bool


def redirect(method: str, target: Target, status: int, location: str | None) -> Redirect | None:
    """What an answer of this status with this Location asks for; None when it is no redirect.

    After 303 everything but HEAD becomes GET; after 301 and 302 POST does, as all browsers have it (RFC 9110, 15.4.2).
    `Failure` for a Location that leads to no page.
    """
    if status not in FOLLOWED or location is None:
        return None
    text = urljoin(str(target), quote(location, safe="%/:=&?~#+!$,;'@()*[]")).partition("#")[0]
    try:
        new = parse_target("GET", text.encode("ascii"), False)
    except (Failure, ValueError):
        raise bad_response(f"The answer redirects to '{location[:200]}', which is no http or https URL.") from None
    if not new.authority.host:
        raise bad_response(f"The answer redirects to '{location[:200]}', which names no host.")
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    return Redirect(
        method="GET" if becomes_get else method,
        target=new,
        keeps_content=not becomes_get,
        is_other_origin=new.origin != target.origin,
        loses_tls=target.scheme == "https" and new.scheme == "http",
    )

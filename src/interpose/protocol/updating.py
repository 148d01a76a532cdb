"""What later answers change in what is stored: 304 and HEAD update it (RFC 9111, 3.2, 4.3.4, 4.3.5), unsafe methods
make it wrong (4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urljoin

from interpose.core.failure import Failure
from interpose.core.fields import FieldLine
from interpose.core.target import Target
from interpose.protocol.conditional import is_strong_tag, matches
from interpose.protocol.freshness import Policy, directives_of, values_of
from interpose.protocol.stored import StoredHead
from interpose.protocol.storing import stored_lines, tags_of
from interpose.protocol.target import parse_target
from interpose.protocol.variants import vary_of

# Registered as safe (RFC 9110, 9.2.1; RFC 4918; RFC 5323); a method that is not known is taken for unsafe.
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"))

# These describe the octets that are stored, which stay as they are. RFC 9111, 3.2, names Content-Length, which readers
# take off, and lets a cache omit what its integrity needs.
_OF_THE_CONTENT = frozenset((b"content-encoding", b"content-range"))


def freshened(
    head: StoredHead,
    lines: Sequence[FieldLine],
    request_lines: Sequence[FieldLine],
    request_time: float,
    response_time: float,
    policy: Policy,
    tag_fields: tuple[bytes, ...] = (),
) -> StoredHead | None:
    """The head after a 304 that answered its validation; None when the 304 is about another representation: then the
    request has to be sent again, without conditions.

    Departs: a 304 without any validator is taken to be about this response, since it alone was asked about.
    """
    if not _is_about(head, lines):
        return None
    if not policy.stores_cookies:
        lines = [line for line in lines if line[0] != b"set-cookie"]
    newer = stored_lines(lines, directives_of(lines, policy), response_time)
    # Names are all that counts, also of lines that are not stored: what is now withheld is not served any more.
    replaced = {line[0] for line in lines} - _OF_THE_CONTENT
    replaced |= {b"age", b"date"}
    merged = [line for line in head.lines if line[0] not in replaced]
    merged += [line for line in newer if line[0] not in _OF_THE_CONTENT]
    kept = stored_lines(merged, directives_of(merged, policy), response_time)
    vary = vary_of(kept, request_lines)
    return head.replace(
        lines=kept,
        request_time=request_time,
        response_time=response_time,
        vary=head.vary if vary is None else vary,
        tags=tags_of(kept, tag_fields) if tag_fields else head.tags,
        expired=False,
    )


def freshened_by_head(
    head: StoredHead,
    lines: Sequence[FieldLine],
    length: int | None,
    request_lines: Sequence[FieldLine],
    request_time: float,
    response_time: float,
    policy: Policy,
    tag_fields: tuple[bytes, ...] = (),
) -> StoredHead | None:
    """The head after a 200 to a HEAD; None when that says that the stored response is not current: remove or expire it.

    `length` is the Content-Length of the answer.
    """
    if head.status != 200 or (length is not None and head.complete and length != head.length):
        return None
    if values_of(lines, b"last-modified") and values_of(lines, b"last-modified") != values_of(
        head.lines, b"last-modified"
    ):
        return None
    etags = values_of(lines, b"etag")
    if etags and not matches((etags[0],), head.first(b"etag"), strongly=False):
        return None
    return freshened(head, lines, request_lines, request_time, response_time, policy, tag_fields)


def _is_about(head: StoredHead, lines: Sequence[FieldLine]) -> bool:
    """Whether the validators of an answer are those of the stored response (4.3.4)."""
    etags = values_of(lines, b"etag")
    if etags:
        # A strong validator has to be the same; a weak one as well, weakness apart.
        return matches((etags[0],), head.first(b"etag"), strongly=is_strong_tag(etags[0]))
    modified = values_of(lines, b"last-modified")
    return not modified or head.first(b"etag") is not None or head.first(b"last-modified") == modified[0]


def invalidated(method: str, status: int, target: Target, lines: Sequence[FieldLine]) -> list[Target]:
    """The targets whose stored responses an answer makes wrong: after an unsafe method that did not fail, its own, and
    those that Location and Content-Location name, when they are of the same origin (4.4)."""
    if method in SAFE_METHODS or not 200 <= status <= 399:
        return []
    targets = [target]
    for key in (b"location", b"content-location"):
        for value in values_of(lines, key)[:1]:
            named = _resolved(target, value)
            if named is not None and named.origin == target.origin and named not in targets:
                targets.append(named)
    return targets


def _resolved(target: Target, reference: bytes) -> Target | None:
    """The target that a URI reference in an answer means; None for what is none of ours."""
    try:
        text = urljoin(str(target), quote(reference.decode("latin-1"), safe="%/:=&?~#+!$,;'@()*[]")).partition("#")[0]
        named = parse_target("GET", text.encode("ascii"), False)
    except (Failure, ValueError):
        return None
    return named._replace(form=target.form) if named.authority.host else None

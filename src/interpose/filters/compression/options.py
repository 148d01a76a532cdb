"""What an operator may say about compression."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MediaType = Annotated[str, Meta(extra={"kind": "media"})]

TYPES = (
    "text/*",
    "*+json",
    "*+xml",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
    "image/x-icon",
)


class CompressionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers are compressed on their way to clients who can undo that."""

    codings: tuple[Literal["zstd", "br", "gzip"], ...] = ("zstd", "br", "gzip")
    """The codings, the best one first: that decides where a client likes several alike. Empty: nothing is
    compressed."""

    types: tuple[MediaType, ...] = TYPES
    """Media types that are compressed: `text/html`, `text/*` or `*+json`."""

    min_bytes: Annotated[int, Meta(ge=0, le=1 << 30)] = 1024
    """Content that is known to be shorter is left as it is."""

    gzip_level: Annotated[int, Meta(ge=1, le=9)] = 5
    """From 1, the quickest, to 9, the smallest."""

    br_level: Annotated[int, Meta(ge=0, le=9)] = 5
    """From 0, the quickest, to 9, the smallest that is quick enough: 10 and 11 take a second for each MiB, and stand in
    the way of all other exchanges meanwhile."""

    zstd_level: Annotated[int, Meta(ge=1, le=12)] = 5
    """From 1, the quickest, to 12, the smallest that is quick enough."""

    personal: Literal["never", "without-tls", "always"] = "without-tls"
    """Whether answers for one user alone are compressed: those that set cookies, are private, or were asked for with
    credentials or, from another site, with cookies. Over TLS their length would tell of secrets in them."""

    plain_upstream: bool = False
    """Ask servers for plain content, so that all compressing happens here and a cache keeps one answer for all clients.
    Where scripts or holds stand on the way it is always so."""

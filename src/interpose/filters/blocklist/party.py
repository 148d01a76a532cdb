"""What a request is for, and on whose behalf it is made: what filter lists distinguish."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from interpose.core.message import Request
from interpose.core.target import Form

_BY_DESTINATION: Final = {
    "document": "document", "iframe": "subdocument", "frame": "subdocument", "fencedframe": "subdocument",
    "script": "script", "worker": "script", "sharedworker": "script", "serviceworker": "script",
    "audioworklet": "script", "paintworklet": "script", "style": "stylesheet", "xslt": "stylesheet",
    "image": "image", "font": "font", "object": "object", "embed": "object", "audio": "media", "video": "media",
    "track": "media", "empty": "xmlhttprequest", "json": "xmlhttprequest", "websocket": "websocket",
    "report": "ping", "manifest": "other", "webidentity": "other",
}  # fmt: skip
"""Sec-Fetch-Dest (Fetch, 3.2.7) in the words of filter lists."""

_BY_ENDING: Final = {
    "js": "script", "mjs": "script", "css": "stylesheet", "gif": "image", "png": "image", "jpg": "image",
    "jpeg": "image", "webp": "image", "avif": "image", "svg": "image", "ico": "image", "woff": "font",
    "woff2": "font", "ttf": "font", "otf": "font", "mp4": "media", "webm": "media", "mp3": "media", "m4a": "media",
    "ogg": "media", "json": "xmlhttprequest",
}  # fmt: skip
_ENDING = re.compile(r"\.([a-z0-9]{2,5})\Z", re.IGNORECASE)
_WEB = re.compile(r"https?://[^\s\x00-\x20]{1,2000}")

SOMEBODY_ELSE: Final = "https://third-party.invalid/"
"""The page of a request that says it is made for another site, and does not say for which."""


class Purpose(NamedTuple):
    """What the engine is asked: the URL, the page that wants it (the URL itself when nobody else does), what it is."""

    url: str
    source: str
    kind: str


def purpose_of(request: Request) -> Purpose:
    """What `request` is for. A tunnel says neither what nor for whom: it is asked about as if it were a page."""
    target = request.target
    if target.form is Form.AUTHORITY:
        url = f"https://{target.authority}/"
        return Purpose(url, url, "other")
    url = str(target)
    fields = request.fields
    site = fields.first(b"sec-fetch-site")
    destination = fields.first(b"sec-fetch-dest")
    kind = _kind(request, destination)
    if site in (b"same-origin", b"same-site", b"none"):
        return Purpose(url, url, kind)
    referer = (fields.first(b"referer") or b"").decode("latin-1")
    if kind != "document" and _WEB.fullmatch(referer) is not None:
        return Purpose(url, referer, kind)
    return Purpose(url, SOMEBODY_ELSE if site == b"cross-site" and kind != "document" else url, kind)


def _kind(request: Request, destination: bytes | None) -> str:
    if request.upgrade == "websocket":
        return "websocket"
    if destination is not None:
        return _BY_DESTINATION.get(destination.decode("latin-1"), "other")
    accept = request.fields.first(b"accept") or b""
    if accept.startswith(b"text/html"):
        return "document"
    if accept.startswith(b"image/"):
        return "image"
    if accept.startswith(b"text/css"):
        return "stylesheet"
    ending = _ENDING.search(request.target.path)
    return _BY_ENDING.get(ending[1].lower(), "other") if ending is not None else "other"

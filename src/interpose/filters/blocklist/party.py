"""What a request is for, and on whose behalf it is made: what filter lists distinguish."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from interpose.core.message import Request
from interpose.core.target import Form

_TELLING: Final = frozenset((b"sec-fetch-site", b"sec-fetch-dest", b"referer", b"accept"))
_OWN: Final = (b"same-origin", b"same-site", b"none")
"""(Sec-Fetch-Site) Nobody else wants it."""

_BY_DESTINATION: Final = {
    b"document": "document", b"iframe": "subdocument", b"frame": "subdocument", b"fencedframe": "subdocument",
    b"script": "script", b"worker": "script", b"sharedworker": "script", b"serviceworker": "script",
    b"audioworklet": "script", b"paintworklet": "script", b"style": "stylesheet", b"xslt": "stylesheet",
    b"image": "image", b"font": "font", b"object": "object", b"embed": "object", b"audio": "media", b"video": "media",
    b"track": "media", b"empty": "xmlhttprequest", b"json": "xmlhttprequest", b"websocket": "websocket",
    b"report": "ping", b"manifest": "other", b"webidentity": "other",
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
    said = {line[0]: line[2] for line in request.fields.lines if line[0] in _TELLING}
    site = said.get(b"sec-fetch-site")
    kind = _kind(request, said)
    if kind == "document" or site in _OWN:
        return Purpose(url, url, kind)
    referer = said.get(b"referer", b"").decode("latin-1")
    if _WEB.fullmatch(referer) is not None:
        return Purpose(url, referer, kind)
    return Purpose(url, SOMEBODY_ELSE if site == b"cross-site" else url, kind)


def _kind(request: Request, said: Mapping[bytes, bytes]) -> str:
    if request.upgrade == "websocket":
        return "websocket"
    destination = said.get(b"sec-fetch-dest")
    if destination is not None:
        return _BY_DESTINATION.get(destination, "other")
    accept = said.get(b"accept", b"")
    if accept.startswith(b"text/html"):
        return "document"
    if accept.startswith(b"image/"):
        return "image"
    if accept.startswith(b"text/css"):
        return "stylesheet"
    ending = _ENDING.search(request.target.path)
    return _BY_ENDING.get(ending[1].lower(), "other") if ending is not None else "other"

"""Media types of files, by the endings of their names. The same on every machine: no table of the system is read."""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = "application/octet-stream"

MEDIA_TYPES: Mapping[str, str] = {
    ".aac": "audio/aac", ".atom": "application/atom+xml", ".avif": "image/avif", ".bmp": "image/bmp",
    ".br": "application/octet-stream", ".css": "text/css", ".csv": "text/csv", ".eot": "application/vnd.ms-fontobject",
    ".epub": "application/epub+zip", ".flac": "audio/flac", ".gif": "image/gif", ".gz": "application/gzip",
    ".htm": "text/html", ".html": "text/html", ".ico": "image/x-icon", ".ics": "text/calendar", ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg", ".js": "text/javascript", ".json": "application/json", ".jsonld": "application/ld+json",
    ".map": "application/json", ".md": "text/markdown", ".mjs": "text/javascript", ".mp3": "audio/mpeg",
    ".mp4": "video/mp4", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".ogv": "video/ogg", ".opus": "audio/ogg",
    ".otf": "font/otf", ".pdf": "application/pdf", ".png": "image/png", ".rss": "application/rss+xml",
    ".svg": "image/svg+xml", ".tar": "application/x-tar", ".toml": "application/toml", ".ts": "video/mp2t",
    ".ttf": "font/ttf", ".txt": "text/plain", ".vtt": "text/vtt", ".wasm": "application/wasm", ".wav": "audio/wav",
    ".weba": "audio/webm", ".webm": "video/webm", ".webmanifest": "application/manifest+json", ".webp": "image/webp",
    ".woff": "font/woff", ".woff2": "font/woff2", ".xhtml": "application/xhtml+xml", ".xml": "application/xml",
    ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip", ".zst": "application/zstd",
}  # fmt: skip
"""IANA's types of what web sites are made of."""


def media_type_of(path: str, more: Mapping[str, str] = MEDIA_TYPES) -> str:
    """The Content-Type of a file by its name, as UTF-8 where it is text."""
    name = path.rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    media_type = more.get(f".{ending.lower()}", UNKNOWN) if dot and stem else UNKNOWN
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type

"""Where a Redis is, in words. (Apart from what connects to it, so that nobody loads that who does not.)"""

from __future__ import annotations

from urllib.parse import urlsplit


def place_of(url: str) -> str:
    """Where the server is, without user and password: for people."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix:{parts.path}"
    return parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")

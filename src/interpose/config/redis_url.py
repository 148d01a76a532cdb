"""Where a Redis or Valkey is, as one writes it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_FORM = 'write "redis://host", "rediss://user:password@host:port/database" or "unix:///path/of/redis.sock"'
_OPTIONS = {
    "unix": ("db",),
    "redis": (),
    "rediss": ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
}
_DATABASE = re.compile(r"/?|/[0-9]{1,4}")

LEAST_SECRET_BYTES = 16


def redis_url(text: str) -> str:
    """The same text, if it is the URL of a server; "" when there is none. ValueError says what is wrong with it."""
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError(f"has a host or port that is none; {_FORM}") from None
    if parts.scheme not in _OPTIONS or not text.isprintable() or " " in text:
        raise ValueError(f"is not the URL of a Redis; {_FORM}")
    if parts.scheme == "unix":
        if not unquote(parts.path).startswith("/") or parts.netloc.rpartition("@")[2]:
            raise ValueError(f"has to have the whole path of a socket; {_FORM}")
    elif not parts.hostname:
        raise ValueError(f"names no host; {_FORM}")
    elif _DATABASE.fullmatch(parts.path) is None:
        raise ValueError(f"has to end with a database, which is a number, or without one; {_FORM}")
    allowed = _OPTIONS[parts.scheme]
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            known = f"only {', '.join(allowed)} may stand there" if allowed else "nothing may stand there"
            raise ValueError(f"has {name!r} behind its question mark; {known}")
    return text


def secret_of(url: str, key_file: str | None) -> bytes:
    """What all machines know that share something in Redis. ValueError when the file has too little of it."""
    if key_file is None:
        parts = urlsplit(url)
        return f"{parts.username or ''}:{parts.password or ''}".encode()
    try:
        secret = Path(key_file).read_bytes().strip()
    except OSError as error:
        raise ValueError(f"{key_file} cannot be read: {error.strerror}.") from None
    if len(secret) < LEAST_SECRET_BYTES:
        raise ValueError(f"{key_file} holds {len(secret)} bytes; a key has {LEAST_SECRET_BYTES} at least.")
    return secret

"""Which stored responses somebody means: one URL, a prefix, a host, or a tag."""

from __future__ import annotations

from interpose.protocol.stored import StoredHead
from interpose.storage.store import Match, Scope, host_in, url_in

FORMS = "a URL, a URL's beginning with * after it, host:NAME or tag:NAME"


def matcher(pattern: str) -> Match:
    """Whether a stored response is meant by `pattern`. ValueError, a sentence, when it is none."""
    kind, colon, rest = pattern.partition(":")
    if colon and kind in ("host", "tag") and not rest.startswith("//"):
        if not rest:
            raise ValueError(f"{pattern!r} names no {kind}; write {FORMS}.")
        return _Host(rest) if kind == "host" else _Tag(rest)
    if pattern == "*":
        return _Url("", is_prefix=True)
    if "://" not in pattern:
        raise ValueError(f"{pattern!r} is no pattern; write {FORMS}.")
    return _Url(pattern.removesuffix("*"), is_prefix=pattern.endswith("*"))


def matcher_of_url(key: bytes) -> Match:
    """Whether a stored response is one of the URL in `key`, however it is chosen."""
    return _Url(url_in(key).decode("utf-8", "surrogateescape"), is_prefix=False)


class _Url:
    def __init__(self, url: str, *, is_prefix: bool) -> None:
        self.pattern = f"{url}*" if is_prefix else url
        scheme, separator, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        if separator and not slash and not is_prefix:
            slash = "/"
        self._url = f"{scheme.lower()}{separator}{authority.lower()}{slash}{path}".encode("utf-8", "surrogateescape")
        self._is_prefix = is_prefix
        self.scope: Scope | None = None
        if not is_prefix:
            self.scope = Scope("url", self._url)
        elif slash:  # nothing of the host is left open
            self.scope = Scope("host", host_in(authority.lower().encode("utf-8", "surrogateescape")))

    def __call__(self, head: StoredHead) -> bool:
        url = url_in(head.key)
        return url.startswith(self._url) if self._is_prefix else url == self._url


class _Host:
    def __init__(self, name: str) -> None:
        self.pattern = f"host:{name}"
        self._name = name.lower().encode("utf-8", "surrogateescape")
        self.scope = Scope("host", host_in(self._name))

    def __call__(self, head: StoredHead) -> bool:
        authority = url_in(head.key).partition(b"://")[2].partition(b"/")[0]
        return authority == self._name or authority.rpartition(b":")[0] == self._name


class _Tag:
    def __init__(self, tag: str) -> None:
        self.pattern = f"tag:{tag}"
        self._tag = tag.encode("utf-8", "surrogateescape")
        self.scope = Scope("tag", self._tag)

    def __call__(self, head: StoredHead) -> bool:
        return self._tag in head.tags

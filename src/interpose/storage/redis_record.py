"""How a response looks in Redis, and under which names. Whoever can write there is not believed (THREATS A41).

Names and fields are digests, keyed with the cluster key, so that no URL can be a name and no two clusters meet:

    ROOT h:KEY          a hash: for each variant, by the digest of what it varies on, its record
    ROOT b:KEY:BODY     content that is too long for a record
    ROOT s:SCOPE        a sorted set of the KEYs of one host, tag or URL, by the second in which they end
    ROOT all            the same of all variants, as KEY:VARIANT:SIZE; ROOT totals has their number and size
    ROOT news           what has changed, for all nodes (`redis_news`)

    record = version | ident | body | size | seal | length of the head | head | content, if it is short

Version to size are text of a fixed width, which scripts in the server read (`redis_scripts`). The seal is an HMAC of
all the rest and of the place where it stands, so a record is right as a whole and in its place, or it is not there.
Longer content is right when its length and its SHA-256 are those of the sealed head. What the seal cannot tell is
whether a record is the newest: who can write may put an old one back.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from interpose.protocol.stored import StoredHead, decode, encode
from interpose.storage.store import Scope, scopes_of

INLINE_BYTES = 16384
MAX_HEAD_BYTES = 65536
NO_BODY = b"-" * 32

_VERSION = b"R1"
_TEXT = struct.Struct("!2s32s32s16s")
_SEAL_BYTES = 32
_LENGTH = struct.Struct("!I")
_HEAD = _TEXT.size + _SEAL_BYTES + _LENGTH.size
_NAME_BYTES = 16
_FIELD_BYTES = 8
_TIMES = struct.Struct("!dd")


class Record(NamedTuple):
    """What is in a record. `body` names the content, NO_BODY when that is in `content`."""

    head: StoredHead
    body: bytes
    content: bytes


class Names:
    """Names and seals of the caches called `space` on all nodes that know the same `secret`."""

    def __init__(self, secret: bytes, space: str) -> None:
        self._name_key = _derived(secret, b"names", space)
        self._seal_key = _derived(secret, b"seals", space)
        self.root = "interpose:" + _derived(secret, b"root", space)[:8].hex() + ":"

    def key(self, key: bytes) -> str:
        """KEY for a primary key."""
        return self._digest(b"key " + key)

    def scope(self, scope: Scope) -> str:
        """SCOPE."""
        return self._digest(scope.kind.encode() + b" " + scope.value)

    def body(self, head: StoredHead) -> bytes:
        """BODY for the content of this head."""
        return self._digest(b"body " + variant_of(head).encode() + head.sha256).encode()

    def record(self, head: StoredHead, body: bytes, content: bytes) -> bytes:
        """The record of a response; `content` only when `body` is NO_BODY. ValueError: the head cannot be kept."""
        try:
            raw = encode(head)
        except struct.error:
            raise ValueError("a head that has no form as bytes") from None
        if len(raw) > MAX_HEAD_BYTES:
            raise ValueError(f"a head of {len(raw)} bytes; the limit is {MAX_HEAD_BYTES}")
        size = b"%016x" % (len(raw) + head.length)
        text = _TEXT.pack(_VERSION, ident_of(head), body, size)
        rest = _LENGTH.pack(len(raw)) + raw + content
        return text + self.seal(self._place(head), text, rest) + rest

    def read(self, key: str, field: bytes, raw: bytes) -> Record:
        """What the record `raw`, found in `field` of KEY `key`, says. ValueError unless it is all right."""
        if len(raw) < _HEAD or raw[:2] != _VERSION:
            raise ValueError("not a record of this version")
        text, seal, rest = raw[: _TEXT.size], raw[_TEXT.size : _HEAD - _LENGTH.size], raw[_HEAD - _LENGTH.size :]
        if not self.is_sealed(seal, f"{key} ".encode() + field, text, rest):
            raise ValueError("a record that was not sealed here")
        end = _HEAD + _LENGTH.unpack_from(rest)[0]
        head, content = decode(raw[_HEAD:end]), raw[end:]
        body = _TEXT.unpack(text)[2]
        if body == NO_BODY and len(content) != head.length:
            raise ValueError("a record whose content has another length than its head says")
        return Record(head, body, content)

    def seal(self, *parts: bytes) -> bytes:
        """An HMAC of these parts, which are told apart by their lengths."""
        told_apart = b"".join([_LENGTH.pack(len(part)) + part for part in parts])
        return hmac.digest(self._seal_key, told_apart, "sha256")

    def is_sealed(self, seal: bytes, *parts: bytes) -> bool:
        """Whether `seal` is that of these parts."""
        return hmac.compare_digest(seal, self.seal(*parts))

    def _place(self, head: StoredHead) -> bytes:
        return f"{self.key(head.key)} {variant_of(head)}".encode()

    def _digest(self, data: bytes) -> str:
        return hashlib.blake2b(data, digest_size=_NAME_BYTES, key=self._name_key).hexdigest()

    def scopes(self, head: StoredHead) -> list[str]:
        """The SCOPEs that a response is found by, apart from its own KEY."""
        return [self.scope(scope) for scope in scopes_of(head) if head.key not in _keys_of(scope)]

    def surely_in(self, scope: Scope) -> list[str]:
        """KEYs of a scope that can be told without looking."""
        return [self.key(key) for key in _keys_of(scope)]


def said(names: Names, kind: str, text: bytes) -> bytes:
    """An announcement, sealed."""
    rest = kind.encode() + b" " + text
    return names.seal(b"news", rest) + rest


def heard_in(names: Names, announcement: bytes) -> tuple[str, bytes] | None:
    """Kind and text of an announcement; None when it was not sealed here."""
    seal, rest = announcement[:_SEAL_BYTES], announcement[_SEAL_BYTES:]
    kind, _, text = rest.partition(b" ")
    return (kind.decode("ascii", "replace"), text) if names.is_sealed(seal, b"news", rest) else None


def _keys_of(scope: Scope) -> tuple[bytes, ...]:
    """The key of a URL to which nothing is added, as most are: it needs no index."""
    return (b"GET " + scope.value,) if scope.kind == "url" else ()


def variant_of(head: StoredHead) -> str:
    """The field of this variant: the same for the same key and `vary`."""
    digest = hashlib.blake2b(digest_size=_FIELD_BYTES)
    for name, value in head.vary:
        for part in (name, value):
            digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.hexdigest()


def ident_of(head: StoredHead) -> bytes:
    """The same for what `store.is_same_response` takes for the same."""
    digest = hashlib.blake2b(_TIMES.pack(head.request_time, head.response_time), digest_size=_NAME_BYTES)
    for part in (head.sha256, variant_of(head).encode(), head.key):
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest().encode()


def _derived(secret: bytes, purpose: bytes, space: str) -> bytes:
    return hmac.digest(secret, b"interpose " + purpose + b"\0" + space.encode(), "sha256")

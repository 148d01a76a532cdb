"""One stored response as the disk store keeps it in its index, and its key there. Read with suspicion, as heads are.

    magic | checksum of the fixed part | ident, serial, stamp, file size, digest, length of the head | head | content

A content of up to SMALL_BYTES lies in the record; a longer one in a file named by `ident`, which is random and stays
the same when a validation gives the response a new head. The SHA-256 in `digest` covers the content, or, when that is
cut into several pieces, the SHA-256 of each of them (see `disk_files`).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

from interpose.protocol.stored import StoredHead, decode, key_in

SMALL_BYTES = 16384
IDENT_BYTES = 8
PREFIX_BYTES = 16
KEY_BYTES = 24

_MAGIC = b"IPR\x02"
_CHECK = struct.Struct("!4sI")
_FIXED = struct.Struct("!8sQQQ32sI")
_START = _CHECK.size + _FIXED.size


class Fixed(NamedTuple):
    """The fixed part. `serial` is larger for what was stored or refreshed later, `stamp` for what was used later;
    `size` is that of the file, 0 when the content is in the record."""

    ident: bytes
    serial: int
    stamp: int
    size: int
    digest: bytes
    head_length: int


def prefix_of(key: bytes) -> bytes:
    """What the index keys of all variants of the primary key `key` begin with."""
    return hashlib.blake2b(key, digest_size=PREFIX_BYTES).digest()


def key_of(head: StoredHead) -> bytes:
    """The index key of the variant with this head."""
    variant = hashlib.blake2b(digest_size=KEY_BYTES - PREFIX_BYTES)
    for name, value in head.vary:
        for part in (name, value):
            variant.update(b"-" if part is None else b"%d:" % len(part) + part)
    return prefix_of(head.key) + variant.digest()


def encode_record(fixed: Fixed, head: bytes, content: bytes) -> bytes:
    """The record as bytes; `head` is encoded already."""
    packed = _FIXED.pack(*fixed._replace(head_length=len(head)))
    return b"".join((_CHECK.pack(_MAGIC, zlib.crc32(packed)), packed, head, content))


def decode_fixed(raw: bytes | memoryview) -> Fixed:
    """The fixed part of the record that begins with `raw`. ValueError when it is damaged."""
    if len(raw) < _START:
        raise ValueError("a stored record is too short")
    magic, check = _CHECK.unpack_from(raw)
    if magic != _MAGIC or check != zlib.crc32(raw[_CHECK.size : _START]):
        raise ValueError("a stored record is damaged")
    return Fixed._make(_FIXED.unpack_from(raw, _CHECK.size))


def decode_head(key: bytes, fixed: Fixed, raw: bytes | memoryview) -> StoredHead:
    """The head of the record `raw`, which was found under `key`. ValueError when it is damaged or belongs elsewhere."""
    head = decode(bytes(raw[_START : _START + fixed.head_length]))
    if key_of(head) != key:
        raise ValueError("a stored record is not where it belongs")
    return head


def decode_content(fixed: Fixed, head: StoredHead, raw: bytes) -> bytes:
    """The content in the record. ValueError when it is not what was stored."""
    content = raw[_START + fixed.head_length :]
    digest = hashlib.sha256(content).digest()
    if len(content) != head.length or digest != fixed.digest or head.sha256 not in (digest, b""):
        raise ValueError("stored content is damaged")
    return content


def primary_key(raw: bytes) -> bytes:
    """The primary key of the response in a record that was checked before."""
    return key_in(raw[_START:])


def with_stamp(raw: bytes, stamp: int) -> bytes:
    """The record `raw`, used at `stamp`. ValueError when it is damaged."""
    packed = _FIXED.pack(*decode_fixed(raw)._replace(stamp=stamp))
    return b"".join((_CHECK.pack(_MAGIC, zlib.crc32(packed)), packed, raw[_START:]))


def with_head(raw: bytes, head: bytes, serial: int) -> bytes:
    """The record `raw` with another head, encoded already, of now. ValueError when it is damaged."""
    fixed = decode_fixed(raw)
    return encode_record(fixed._replace(serial=serial), head, raw[_START + fixed.head_length :])

"""Collecting a head from the pieces in which it arrives; most arrive whole."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[bytes | bytearray, int], None]
"""Judges a head that is not whole yet, of which some octets were judged before (`HeadParser.check_open_request`)."""


def collect(
    open_head: bytes | bytearray, data: bytes, limit: int, check: Check, *, may_begin_empty: bool
) -> tuple[bytes | None, bytes | bytearray]:
    """The head, without the empty line that ends it, and what follows it; or None and what is there of it so far.

    `open_head` is what an earlier call returned, b"" at the beginning. `check` raises when no more octets can make it a
    head, and for one that is larger than `limit`. With `may_begin_empty` an empty line before it is tolerated
    (requests: RFC 9112, 2.2).
    """
    if not open_head and not (may_begin_empty and data[:2] == b"\r\n"):
        end = data.find(b"\r\n\r\n")
        if 0 <= end <= limit:  # nearly always
            return data[:end], data[end + 4 :]
    searched = len(open_head)
    whole: bytes | bytearray = data
    if searched:
        whole = open_head if isinstance(open_head, bytearray) else bytearray(open_head)
        whole += data
    start = 2 if may_begin_empty and whole[:2] == b"\r\n" else 0
    end = whole.find(b"\r\n\r\n", max(start, searched - 3))
    if end < 0 or end > limit:
        check(whole[start:] if start else whole, max(0, searched - start))
        return None, whole
    return bytes(whole[start:end]), bytes(whole[end + 4 :])

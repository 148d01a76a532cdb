"""What was sent, as text that a terminal can be given: shown, never obeyed.

A terminal obeys control characters (an escape moves the cursor, renames the window, answers as if typed) and the
reader's eye obeys invisible ones (a change of direction makes a text read otherwise). Neither reaches the terminal:
`printable` spells them. Everything else stays as it is, a backslash too: whoever needs to tell a spelled byte from
one that was written so looks at `hexadecimal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BYTES_PER_LINE = 16

# Controls (C0, DEL, C1); changes of direction; separators of lines; what has no width at all. The two joiners
# (U+200C, U+200D) stay, since scripts and emoji are written with them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(data: bytes, keep: str = "") -> str:
    r"""`data` as text: UTF-8 stays, a control character becomes `\n`, `\x1b` or `\u202e`, an invalid byte `\xff`.

    The characters of `keep` stay too: `"\n"` for a text of several lines.
    """
    text = data.decode("utf-8", "backslashreplace")
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _spelled(found[0]), text)


def _spelled(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return _SHORT.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def whole_characters(data: bytes) -> int:
    """How many bytes of `data` there are up to a UTF-8 character that its end cuts off: all, or one to three fewer."""
    end = len(data)
    for length in range(1, min(3, end) + 1):
        byte = data[end - length]
        if byte >= 0xC0:  # the first of two, three or four
            is_cut = length < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
            return end - length if is_cut and byte < 0xF8 else end
        if byte < 0x80:
            break
    return end


def hexadecimal(data: bytes, offset: int = 0) -> Iterator[str]:
    """Lines of 16 bytes: where they are (counted from `offset`), in hexadecimal, and as ASCII with a dot for the
    rest."""
    for start in range(0, len(data), BYTES_PER_LINE):
        line = data[start : start + BYTES_PER_LINE]
        halves = f"{line[:8].hex(' '):23}  {line[8:].hex(' '):23}"
        text = "".join([chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line])
        yield f"{offset + start:08x}  {halves}  |{text}|"

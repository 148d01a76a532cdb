"""What is wrong with the text of a query, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 100
_LONGEST_GUESSED = 40


class QueryError(ValueError):
    """`message` is one sentence: what, and the fix. `position` and `length` say which part of `text` is meant."""

    def __init__(self, message: str, position: int, length: int, text: str) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.length = length
        self.text = text

    def __str__(self) -> str:
        return f"At character {self.position + 1}: {self.message}"

    @property
    def rendered(self) -> str:
        """Two lines: the text around the place, and carets below what is meant."""
        start = max(0, min(self.position - _SHOWN // 2, len(self.text) - _SHOWN))
        end = start + _SHOWN
        before, after = "…" * (start > 0), "…" * (end < len(self.text))
        line = "".join(" " if char in "\t\r\n" else char for char in self.text[start:end])
        carets = max(1, min(self.length, end - self.position))
        return f"{before}{line}{after}\n{' ' * (len(before) + self.position - start)}{'^' * carets}"


def meant(written: str, known: Iterable[str]) -> str:
    """The end of a sentence: `: did you mean …?`, or nothing where nothing known is near."""
    if len(written) > _LONGEST_GUESSED:
        return ""
    near = difflib.get_close_matches(written.lower(), list(known), n=1, cutoff=0.6)
    return f": did you mean `{near[0]}`?" if near else ""

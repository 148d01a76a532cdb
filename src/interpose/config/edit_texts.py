"""Texts of edits that mean something: patterns and selectors.

Like `config/kinds.py`: from what was written to its canonical form, or a ValueError with what is wrong and the fix.
"""

from __future__ import annotations

from collections.abc import Callable

from interpose.filters.content.options import LONGEST_TEXT_BYTES


def sought(text: str) -> str:
    """A text that is looked for; "" for none."""
    if len(text.encode()) > LONGEST_TEXT_BYTES:
        raise ValueError(f"must have at most {LONGEST_TEXT_BYTES} octets")
    return text


def pattern(text: str) -> str:
    """A regular expression of RE2; "" for none."""
    # Who edits nothing need not have the library in memory.
    from interpose.filters.content.replacing import compiled

    if sought(text):
        compiled(text)
    return text


def selector(text: str) -> str:
    """Which elements of a page are meant."""
    from interpose.filters.content.selector import selector_of

    selector_of(text)
    return text


KINDS: dict[str, Callable[[str], str]] = {"sought": sought, "pattern": pattern, "selector": selector}

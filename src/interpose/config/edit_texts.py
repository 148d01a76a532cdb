"""Texts of edits that mean something: patterns and selectors.

Like `config/kinds.py`: from what was written to its canonical form, or a ValueError with what is wrong and the fix.
"""

from __future__ import annotations

from collections.abc import Callable

LONGEST = 4096


def pattern(text: str) -> str:
    """A regular expression of RE2; "" for none."""
    # Who edits nothing need not have the library in memory.
    from interpose.filters.content.replacing import compiled

    if len(text) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    if text:
        compiled(text)
    return text


def selector(text: str) -> str:
    """Which elements of a page are meant."""
    from interpose.filters.content.selector import selector_of

    selector_of(text)
    return text


KINDS: dict[str, Callable[[str], str]] = {"pattern": pattern, "selector": selector}

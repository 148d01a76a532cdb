"""Where the value of a goal is: `took`, `field:NAME`, `json:/a/b`."""

from __future__ import annotations

from typing import Final

FIELD: Final = "field:"
JSON: Final = "json:"
TOOK: Final = "took"


def pointer_of(text: str) -> list[str]:
    """The names that a JSON pointer leads along (RFC 6901). ValueError when it is none."""
    if text and not text.startswith("/"):
        raise ValueError('a JSON pointer begins with "/"')
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]

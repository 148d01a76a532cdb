"""What content filters change, as it is configured."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MOST_EDITED_BYTES = 32 << 20
LONGEST_TEXT_BYTES = 4096
LONGEST_MATCH_BYTES = 65536

Sought = Annotated[str, Meta(extra={"kind": "sought"})]
Pattern = Annotated[str, Meta(extra={"kind": "pattern"})]
Selector = Annotated[str, Meta(extra={"kind": "selector"})]
MatchBytes = Annotated[int, Meta(ge=1, le=LONGEST_MATCH_BYTES)]


class Replacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Text that is replaced, wherever it stands. Either `text` or `pattern`."""

    text: Sought = ""
    """Exactly this."""

    pattern: Pattern = ""
    """What this regular expression of RE2 matches, each line by itself where it says `^` or `$`. RE2 takes time in
    proportion to the text, whatever the pattern, and has neither look-around nor references back."""

    with_: str = msgspec.field(default="", name="with")
    """What stands there instead. Of a pattern, `\\1` to `\\9` are its groups, `\\0` is all of it, and `\\\\` one
    backslash. Empty: nothing."""

    ignore_case: bool = False
    """Whatever the case of its letters."""

    max_match_bytes: MatchBytes = 1024
    """(pattern) The longest match that is replaced. So much of the content is kept back while it flows."""


class Insertion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTML that is put into pages, once."""

    end_of: Literal["head", "body"] = "body"
    """Before `</head>` or before `</body>`; where there is none, before `<body>` or at the end."""

    html: str = ""
    """What is put there, as it is."""

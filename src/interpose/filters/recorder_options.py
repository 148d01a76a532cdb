"""How much the recorder keeps. (In a module of its own, since what it is for is compiled.)"""

from __future__ import annotations

import msgspec

from interpose.core.units import Bytes


class RecorderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of an exchange."""

    max_body_bytes: Bytes = 1 << 20
    """How much of the content of a request, and of a response; the rest is only counted."""

"""Fields that let whoever reads them in: a hold keeps them until it is settled and not a moment longer."""

from __future__ import annotations

from collections.abc import Set

import msgspec

from interpose.core.hold import HeldMessage

SECRET_FIELDS: frozenset[bytes] = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"))
REMOVED = b"[removed]"


def without_secrets(message: HeldMessage, names: Set[bytes] = SECRET_FIELDS) -> HeldMessage:
    """The same message, with the values of these fields (lower case) taken away."""
    lines = message.fields.split(b"\r\n")
    for place, line in enumerate(lines):
        name, colon, _ = line.partition(b":")
        if colon and name.lower() in names:
            lines[place] = b"%b: %b" % (name, REMOVED)
    return msgspec.structs.replace(message, fields=b"\r\n".join(lines))

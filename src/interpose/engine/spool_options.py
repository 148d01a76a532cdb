"""The options of spools and sinks."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from interpose.core.units import Bytes

Folder = Annotated[str, Meta(extra={"kind": "folder"})]
End = Annotated[str, Meta(extra={"kind": "end"})]
LongSeconds = Annotated[float, Meta(ge=0, le=31_536_000)]
HALF_CLOSE = "half-close"


class SpoolOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files that are received and kept (sink), or sent on (spool)."""

    dir: Folder = ""
    """Where they are kept. It must be given."""

    hold: bool = False
    """(spool) Send nothing that nobody has released."""

    delay_s: LongSeconds = 0.0
    """(spool) How long a file waits before it is sent. It can be edited meanwhile."""

    end: End = HALF_CLOSE
    """What ends a file of a client that speaks no framed form: `half-close`, or `idle:S`, S seconds without a byte.
    With `idle:S` a server's answer ends so too."""

    form: Literal["auto", "framed", "plain"] = "auto"
    """(spool) How files are sent: `plain` is the bytes and then half-close, for any server; `framed` adds name,
    checksum and id, for sinks and spools. `auto` is plain until an answer shows that the server is one of these."""

    max_file_bytes: Bytes = 0
    """The largest file. 0: as large as the disk allows."""

    give_up_s: LongSeconds = 259_200.0
    """(spool) How long to go on trying to send a file. Then it has failed, and can be released again."""

    keep_s: LongSeconds = 604_800.0
    """(spool) How long files are kept that were confirmed or dropped. 0: for ever."""

"""Numbers with a range, for the fields of option structs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=86400)]
Timeout = Annotated[float, Meta(gt=0, le=86400)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 50)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Ratio = Annotated[float, Meta(ge=0, le=1_000_000)]

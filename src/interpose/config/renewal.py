"""When a certificate is ordered: pure, given the clock and a random number from 0 to 1."""

from __future__ import annotations

from datetime import datetime

FIRST_RETRY_S = 60.0
LAST_RETRY_S = 86400.0


def renew_at(begins: datetime, ends: datetime, random: float) -> datetime:
    """When a third of the lifetime is left, or up to a thirtieth of it earlier: instances that began together part."""
    lifetime = ends - begins
    return ends - lifetime / 3 - lifetime / 30 * random


def retry_in_s(failures: int, random: float) -> float:
    """How long to wait after so many failures in a row: a minute, then twice as long each time, at most a day; up to
    half of it less."""
    return min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 30), LAST_RETRY_S) * (1 - random / 2)

"""Options of a group: how it chooses, what it takes for a failure, how much it lets wait."""

from __future__ import annotations

from typing import Literal, NamedTuple

Balance = Literal["round_robin", "least_active", "fastest", "hash", "first"]


class GroupOptions(NamedTuple):
    """How a group works. Times in seconds; limits are those of one process, 0 is none.

    A server is ejected after `eject_failures` connections in a row that could not be made (0: never), or when
    `eject_share` of its last answers were errors while the others do well (0.0: never). It rests for `eject_s`, twice
    as long each further time, up to `most_eject_s`. For errors alone at most `max_ejected_share` of the group are
    ejected.
    """

    balance: Balance = "round_robin"
    slow_start_s: float = 0.0
    max_active: int = 0
    eject_failures: int = 3
    eject_share: float = 0.5
    eject_s: float = 2.0
    most_eject_s: float = 60.0
    max_ejected_share: float = 0.5
    has_backup: bool = False
    """Somebody else gets requests while nobody here can: so the last one may rest too."""

"""Who somebody is, once authentication said so."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """A user and the groups the user is in; `groups` is None where nobody knows of groups."""

    user: str
    groups: tuple[str, ...] | None = None

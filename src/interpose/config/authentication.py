"""From `auth` and `[[authentication]]` to what knows who somebody is."""

from __future__ import annotations

from interpose.config.model import OPEN_ROLES, Config, Listener
from interpose.config.parts import Parts
from interpose.filters.authentication.filter import Authentication, Render
from interpose.filters.authentication.passwords import PasswordOptions, Passwords


def of_listener(config: Config, listener: Listener, parts: Parts, render: Render) -> Authentication:
    """Who may use the listener, which has a file of users: the same for every protocol that it speaks."""
    assert listener.auth is not None
    options = PasswordOptions(file=listener.auth)
    users = parts.get(Passwords, (options, listener.name), lambda: Passwords(options))
    return Authentication([users], proxy=listener.role in OPEN_ROLES, render=render)

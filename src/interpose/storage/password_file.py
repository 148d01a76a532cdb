"""Users with their passwords' hashes, and groups with their users, in the formats that Apache reads.

    anna:$2y$10$…           a user and a hash (see `storage.password_hash`)
    staff: anna bert        a group and its users

Checking a password takes tens of milliseconds by design, so it belongs into a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from interpose.storage.password_hash import Check, check_of

MOST_BYTES = 1 << 20


class PasswordFile:
    """The users of a file. Raises ValueError, one sentence per line of it, for whatever is wrong with the file."""

    def __init__(self, path: Path) -> None:
        text = _text(path)
        self._users = users_in(text)
        self._checks = list(self._users.values())
        self._secret = hashlib.blake2b(text.encode(), digest_size=32).digest()

    @property
    def users(self) -> list[str]:
        """The names, in the file's order."""
        return list(self._users)

    def is_right(self, user: str, password: bytes) -> bool:
        """Whether this is the user's password. Takes its time; for a thread.

        An unknown user's is checked against the hash of somebody else, always the same one for a name: where hashes
        differ in what they cost, unknown names differ as known ones do, and nobody without the file can tell whose
        they share.
        """
        check = self._users.get(user)
        is_right = (check or self._check_of_nobody(user))(password)
        return is_right and check is not None

    def _check_of_nobody(self, user: str) -> Check:
        drawn = hashlib.blake2b(user.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=8).digest()
        return self._checks[int.from_bytes(drawn, "big") % len(self._checks)]


def users_in(text: str) -> dict[str, Check]:
    """The checks of the users that a file names."""
    users: dict[str, Check] = {}
    problems: list[str] = []
    for place, line in _lines(text):
        user, colon, rest = line.partition(":")
        try:
            if not colon or not user:
                raise ValueError("is not `user:hash`; make it with `htpasswd -B`")
            if user in users:
                raise ValueError(f"names {user!r} a second time")
            users[user] = check_of(user, rest.partition(":")[0])
        except ValueError as error:
            problems.append(f"line {place} {error}")
    if problems:
        raise ValueError("\n".join(problems))
    if not users:
        raise ValueError("has no users; add one with `htpasswd -B`")
    return users


def groups_in(path: Path) -> dict[str, tuple[str, ...]]:
    """The groups of each user, in the file's order. A group may have several lines, as at Apache's; ValueError for what
    is no group."""
    users: dict[str, dict[str, None]] = {}
    problems: list[str] = []
    for place, line in _lines(_text(path)):
        group, colon, members = line.partition(":")
        group = group.strip(" \t")
        if not colon or not group or " " in group or "," in group:
            problems.append(f"line {place} is not `group: user user`")
            continue
        for user in members.replace("\t", " ").split(" "):
            if user:
                users.setdefault(user, {})[group] = None
    if problems:
        raise ValueError("\n".join(problems))
    return {user: tuple(groups) for user, groups in users.items()}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    for place, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r ")
        if line and not line.startswith("#"):
            yield place, line

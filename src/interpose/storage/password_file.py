"""Users and their passwords' hashes, in the format of `htpasswd -B`, and a second hash that needs no other program.

    anna:$2y$10$…                                 bcrypt
    bert:$scrypt$ln=15,r=8,p=1$SALT$HASH          scrypt, made by `scrypt_entry`

Everything weaker (MD5, SHA-1, crypt, plain text) is refused when the file is read, not when somebody logs in. Checking
a password takes tens of milliseconds by design, so it belongs into a thread; both libraries let others run meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import bcrypt

from interpose.protocol import number

MOST_BYTES = 1 << 20
MOST_BCRYPT_COST = 15  # each step doubles the time; 15 takes two seconds
MOST_SCRYPT_MEMORY = 64 << 20
BCRYPT_BYTES = 72  # of a password; bcrypt has never looked at more

# The 22 characters of a salt hold 128 bits, so the last one has but four values.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_SCRYPT = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{43})"
)
_CRYPT_IDS = {"1": "MD5", "5": "SHA-256 crypt", "6": "SHA-512 crypt", "y": "yescrypt", "7": "another scrypt format"}


class Entry(NamedTuple):
    """One user's hash: how to check a password, and what that costs relative to others."""

    check: Callable[[bytes], bool]
    cost: int


class PasswordFile:
    """The users of a file. Raises ValueError, one sentence per line of it, for whatever is wrong with the file."""

    def __init__(self, path: Path) -> None:
        self._users = read(path)
        # An unknown user takes as long as a known one: the costliest hash of the file is checked in any case.
        self._nobody = max(self._users.values(), key=lambda entry: entry.cost)

    @property
    def users(self) -> list[str]:
        """The names, in the file's order."""
        return list(self._users)

    def is_right(self, user: str, password: bytes) -> bool:
        """Whether this is the user's password. Takes its time; for a thread."""
        entry = self._users.get(user)
        is_right = (entry or self._nobody).check(password)
        return is_right and entry is not None


def read(path: Path) -> dict[str, Entry]:
    """The entries of a file by user."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    users: dict[str, Entry] = {}
    problems: list[str] = []
    for place, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r ")
        if not line or line.startswith("#"):
            continue
        user, colon, rest = line.partition(":")
        try:
            if not colon or not user:
                raise ValueError("is not `user:hash`; make it with `htpasswd -B`")
            if user in users:
                raise ValueError(f"names {user!r} a second time")
            users[user] = entry(user, rest.partition(":")[0])
        except ValueError as error:
            problems.append(f"line {place} {error}")
    if problems:
        raise ValueError("\n".join(problems))
    if not users:
        raise ValueError("has no users; add one with `htpasswd -B`")
    return users


def entry(user: str, hashed: str) -> Entry:
    """The entry for a hash. ValueError says what is wrong with it, and the fix."""
    if match := _BCRYPT.fullmatch(hashed):
        cost = number.decimal(match[1].encode()) or 0
        if not 4 <= cost <= MOST_BCRYPT_COST:
            raise ValueError(f"has bcrypt with cost {cost} for {user!r}; 4 to {MOST_BCRYPT_COST} are accepted")
        salted = hashed.encode()
        return Entry(lambda password: bcrypt.checkpw(password[:BCRYPT_BYTES], salted), 1 << cost)
    if match := _SCRYPT.fullmatch(hashed):
        ln, r, p = (number.decimal(digits.encode()) or 0 for digits in match.groups()[:3])
        if not (10 <= ln <= 20 and 1 <= p <= 16 and r >= 1 and 128 * r << ln <= MOST_SCRYPT_MEMORY):
            raise ValueError(f"has scrypt with ln={ln}, r={r}, p={p} for {user!r}; make it anew with `htpasswd -B`")
        salt, wanted = unbased(match[4]), unbased(match[5])
        return Entry(lambda password: hmac.compare_digest(scrypt(password, salt, ln, r, p), wanted), p << (ln - 5))
    raise ValueError(f"has {scheme_of(hashed)} for {user!r}, which is not accepted; write it anew with `htpasswd -B`")


def scheme_of(hashed: str) -> str:
    """What a hash that is not accepted looks like, for people."""
    if hashed.startswith("$apr1$"):
        return "an MD5 hash"
    if hashed.startswith("{SHA}"):
        return "a SHA-1 hash"
    if hashed.startswith(("$2", "$scrypt$")):
        return "a damaged hash"
    if hashed.startswith("$"):
        name = _CRYPT_IDS.get(hashed[1:].partition("$")[0])
        return f"a hash of another kind ({name})" if name else "a hash of another kind"
    return "a plain password or an old hash"


def scrypt_entry(user: str, password: str) -> str:
    """A line for a password file, with a fresh salt."""
    salt = os.urandom(16)
    hashed = scrypt(password.encode(), salt, 15, 8, 1)
    return f"{user}:$scrypt$ln=15,r=8,p=1${based(salt)}${based(hashed)}"


def scrypt(password: bytes, salt: bytes, ln: int, r: int, p: int) -> bytes:
    """The hash of 32 bytes."""
    return hashlib.scrypt(password, salt=salt, n=1 << ln, r=r, p=p, maxmem=2 * MOST_SCRYPT_MEMORY, dklen=32)


def based(raw: bytes) -> str:
    """Base64 without padding."""
    return base64.b64encode(raw).decode().rstrip("=")


def unbased(text: str) -> bytes:
    """The bytes of base64 without padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4))

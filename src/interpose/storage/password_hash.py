"""The hashes of passwords that are accepted, and how a password is checked against each.

    $2y$10$…                                 bcrypt, as `htpasswd -B` makes it
    $argon2id$v=19$m=65536,t=3,p=4$…         Argon2 (RFC 9106)
    $6$rounds=5000$SALT$…  $5$SALT$…         SHA-crypt, as `htpasswd -5` and `-2` make it
    $scrypt$ln=15,r=8,p=1$SALT$HASH          scrypt, made by `scrypt_entry`, which needs no other program

What is weaker (MD5, SHA-1, the old crypt, plain text) is refused when it is read, and so is what would take too much
time or memory: a file of users must not become a way to bring the machine down.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable

import bcrypt
from argon2.exceptions import VerificationError
from argon2.low_level import Type, verify_secret

from interpose.protocol import number
from interpose.storage.sha_crypt import DEFAULT_ROUNDS, MOST_ROUNDS, sha_crypt

Check = Callable[[bytes], bool]
"""Whether this is the password. Takes its time."""

MOST_BCRYPT_COST = 15  # each step doubles the time; 15 takes two seconds
MOST_SCRYPT_MEMORY = 64 << 20
MOST_ARGON2_KIB = 256 << 10
MOST_ARGON2_WORK = 2 << 20  # memory in KiB, times passes; this takes two seconds
BCRYPT_BYTES = 72  # of a password; bcrypt has never looked at more

# The 22 characters of a salt hold 128 bits, so the last one has but four values.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_SCRYPT = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{43})"
)
_SHA_CRYPT = re.compile(
    r"\$(?:(5)|6)\$(?:rounds=([1-9][0-9]{3,8})\$)?([./A-Za-z0-9]{1,16})\$([./A-Za-z0-9]{43})(?(1)|[./A-Za-z0-9]{43})"
)
_ARGON2 = re.compile(
    r"\$argon2(id|i|d)\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,4}),p=([0-9]{1,3})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
_ARGON2_TYPES = {"id": Type.ID, "i": Type.I, "d": Type.D}
_CRYPT_IDS = {"1": "MD5", "y": "yescrypt", "7": "another scrypt format"}


def check_of(user: str, hashed: str) -> Check:
    """What checks passwords against a hash. ValueError says what is wrong with it, and the fix."""
    if match := _BCRYPT.fullmatch(hashed):
        return _bcrypt(user, hashed, number.decimal(match[1].encode()) or 0)
    if match := _ARGON2.fullmatch(hashed):
        memory, passes, lanes = (number.decimal(digits.encode()) or 0 for digits in match.groups()[1:])
        return _argon2(user, hashed, _ARGON2_TYPES[match[1]], memory, passes, lanes)
    if match := _SHA_CRYPT.fullmatch(hashed):
        rounds = DEFAULT_ROUNDS if match[2] is None else number.decimal(match[2].encode()) or 0
        return _sha_crypt(user, match[1] or "6", rounds, match[3].encode(), hashed.rpartition("$")[2])
    if match := _SCRYPT.fullmatch(hashed):
        ln, r, p = (number.decimal(digits.encode()) or 0 for digits in match.groups()[:3])
        return _scrypt(user, match[4], match[5], ln, r, p)
    raise ValueError(f"has {scheme_of(hashed)} for {user!r}, which is not accepted; write it anew with `htpasswd -B`")


def _bcrypt(user: str, hashed: str, cost: int) -> Check:
    if not 4 <= cost <= MOST_BCRYPT_COST:
        raise ValueError(f"has bcrypt with cost {cost} for {user!r}; 4 to {MOST_BCRYPT_COST} are accepted")
    salted = hashed.encode()
    return lambda password: bcrypt.checkpw(password[:BCRYPT_BYTES], salted)


def _argon2(user: str, hashed: str, kind: Type, memory: int, passes: int, lanes: int) -> Check:
    if not (8 <= memory <= MOST_ARGON2_KIB and passes >= 1 and memory * passes <= MOST_ARGON2_WORK and lanes <= 16):
        most = f"m={MOST_ARGON2_KIB}, m times t up to {MOST_ARGON2_WORK}, and p=16"
        raise ValueError(f"has Argon2 with m={memory},t={passes},p={lanes} for {user!r}; up to {most} are accepted")
    encoded = hashed.encode()

    def check(password: bytes) -> bool:
        try:
            return verify_secret(encoded, password, kind)
        except VerificationError:
            return False

    return check


def _sha_crypt(user: str, kind: str, rounds: int, salt: bytes, wanted: str) -> Check:
    if rounds > MOST_ROUNDS:
        raise ValueError(f"has SHA-crypt with {rounds} rounds for {user!r}; up to {MOST_ROUNDS} are accepted")
    return lambda password: hmac.compare_digest(sha_crypt(kind, password, salt, rounds), wanted)


def _scrypt(user: str, salted: str, hashed: str, ln: int, r: int, p: int) -> Check:
    if not (10 <= ln <= 20 and 1 <= p <= 16 and r >= 1 and 128 * r << ln <= MOST_SCRYPT_MEMORY):
        raise ValueError(f"has scrypt with ln={ln}, r={r}, p={p} for {user!r}; make it anew with `htpasswd -B`")
    salt, wanted = unbased(salted), unbased(hashed)
    return lambda password: hmac.compare_digest(scrypt(password, salt, ln, r, p), wanted)


def scheme_of(hashed: str) -> str:
    """What a hash that is not accepted looks like, for people."""
    if hashed.startswith("$apr1$"):
        return "an MD5 hash"
    if hashed.startswith("{SHA}"):
        return "a SHA-1 hash"
    if hashed.startswith(("$2", "$5$", "$6$", "$argon2", "$scrypt$")):
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

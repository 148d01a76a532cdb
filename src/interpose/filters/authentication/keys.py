"""The keys that tokens are signed with: a JSON Web Key Set (RFC 7517), read.

Which algorithm a key may verify follows from the key and from the configuration, and never from a token: a public key
of RSA is no secret for HS256, and no algorithm is none (RFC 8725, 3.1 and 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from jwt import PyJWK
from jwt.exceptions import InvalidKeyError, PyJWKError

MOST_TRIED = 8
"""Keys that are tried for a token which names none."""

# The type of key for an algorithm, and the curve where the type has several (RFC 7518, 3.1; RFC 8037).
_SUITS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    **dict.fromkeys(("HS256", "HS384", "HS512"), ("oct", None)),
}


class Key(NamedTuple):
    """One key: its id, "" for none, and what verifies with it, by algorithm."""

    kid: str
    verifiers: Mapping[str, PyJWK]


class KeySet:
    """The keys that may be used."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def verifiers(self, kid: str | None, algorithm: str) -> list[PyJWK]:
        """What may have signed a token of this algorithm that names the key `kid`, or none."""
        found = [
            key.verifiers[algorithm] for key in self._keys if algorithm in key.verifiers and kid in (None, key.kid)
        ]
        return found[:MOST_TRIED]


def read_keys(content: bytes, algorithms: Iterable[str], *, with_secrets: bool) -> KeySet:
    """The keys of a set that can verify signatures by one of `algorithms`. Others are passed over (RFC 7517, 5), and
    secrets as well unless they are wanted: what stands at a URL is none. ValueError when nothing is left."""
    try:
        raw = msgspec.json.decode(content, type=dict[str, Any]).get("keys")
    except (msgspec.DecodeError, RecursionError):
        raw = None
    if not isinstance(raw, list):
        raise ValueError('is not a JSON Web Key Set, which is {"keys": [...]}')
    wanted = [name for name in algorithms if with_secrets or _SUITS[name][0] != "oct"]
    keys = [key for one in raw if isinstance(one, dict) and (key := _key(one, wanted)).verifiers]
    if not keys:
        raise ValueError(f"has no key for {', '.join(wanted)} that is long enough")
    return KeySet(keys)


def _key(raw: dict[str, Any], algorithms: Iterable[str]) -> Key:
    kid = raw.get("kid")
    operations = raw.get("key_ops")
    is_for_signatures = raw.get("use", "sig") == "sig" and (operations is None or "verify" in operations)
    suitable = [name for name in algorithms if is_for_signatures and _suits(raw, name)]
    made = {name: verifier for name in suitable if (verifier := _verifier(raw, name)) is not None}
    return Key(kid if isinstance(kid, str) else "", made)


def _suits(raw: dict[str, Any], algorithm: str) -> bool:
    kind, curve = _SUITS[algorithm]
    return raw.get("kty") == kind and curve in (None, raw.get("crv")) and raw.get("alg", algorithm) == algorithm


def _verifier(raw: dict[str, Any], algorithm: str) -> PyJWK | None:
    """None for a key that is broken, or too short (RFC 7518, 3.2 and 3.3)."""
    try:
        verifier = PyJWK(raw, algorithm)
    except (InvalidKeyError, PyJWKError, ValueError, TypeError, KeyError):
        return None
    return None if verifier.Algorithm.check_key_length(verifier.key) else verifier

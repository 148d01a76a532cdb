"""An issuer of tokens: keys, their public halves as a JSON Web Key Set, and tokens, good ones and odd ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NAME = "https://issuer.example"
AUDIENCE = "shop"

_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_SHORT_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)


def key_for(algorithm: str) -> Any:
    """A private key that suits an algorithm. There is one of RSA for all tests: making one takes its time."""
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "short":
            return _SHORT_RSA
    return _RSA


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key (RFC 7517)."""
    public = key.public_key()
    kinds = ((rsa.RSAPublicKey, RSAAlgorithm), (ec.EllipticCurvePublicKey, ECAlgorithm), (object, OKPAlgorithm))
    algorithm: Any = next(algorithm for kind, algorithm in kinds if isinstance(public, kind))
    return {**algorithm.to_jwk(public, as_dict=True), **members}


class Issuer:
    """`token()` is good until `leave_out` or other claims make it something else."""

    def __init__(self, algorithm: str = "ES256", kid: str = "one") -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.key = key_for(algorithm)

    def jwk(self, **members: Any) -> dict[str, Any]:
        return public_jwk(self.key, kid=self.kid, **members)

    def jwks(self) -> bytes:
        return key_set(self.jwk())

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = time.time()
        usual = {"iss": NAME, "aud": AUDIENCE, "sub": "anna", "iat": now - 1, "exp": now + 600}
        return {name: value for name, value in {**usual, **claims}.items() if value is not None}

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token; a claim of None is left out."""
        said = {"kid": self.kid, **(headers or {})}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(self.claims(**claims), self.key, self.algorithm, headers=said)


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def part(value: Any) -> str:
    """One part of a token, of whatever is given."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def by_hand(head: Any, claims: Any, signature: bytes = b"") -> str:
    """A token of any head and claims."""
    return f"{part(head)}.{part(claims)}.{part(signature)}"


def signed_with_secret(head: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """A token signed by HMAC, by no library."""
    signed = f"{part(head)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"

"""A small ACME authority (RFC 8555), which looks for its tokens as a real one does and signs with a test authority.

    with AcmeAuthority(certificates, listener=lambda: "127.0.0.1:8080") as authority:
        authority.directory              the URL for `[acme]`
        authority.spoil_nonces = 1       so many requests are told that their nonce is bad
        authority.fetched                (host, token, status) of each validation
        authority.issued                 the names of each certificate

Every signature, nonce, URL and account is checked here, by code that shares nothing with the client's library.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.support.certificates import CertificateAuthority

JSON = "application/json"
PERSPECTIVES = 6
"""From how many connections each token is looked for: with several workers they reach them all, as good as always."""


class Problem(Exception):
    """What the authority refuses, with the word of RFC 8555, 6.7."""

    def __init__(self, word: str, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.word, self.detail, self.status = word, detail, status


class AcmeAuthority:
    """See the module."""

    def __init__(
        self,
        certificates: CertificateAuthority,
        listener: Callable[[], str],
        *,
        lifetime: timedelta = timedelta(days=90),
    ) -> None:
        self.spoil_nonces = 0
        self.lifetime = lifetime
        self.accounts: dict[str, dict[str, str]] = {}
        self.fetched: list[tuple[str, str, int]] = []
        self.issued: list[list[str]] = []
        self.refused: list[str] = []
        self._certificates = certificates
        self._listener = listener
        self._nonces: set[str] = set()
        self._orders: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        authority = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, authority.urls if self.path == "/directory" else {})

            def do_HEAD(self) -> None:
                self._answer(200, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    with authority._lock:
                        self._answer(*authority.asked(self.path, json.loads(body)))
                except Problem as problem:
                    authority.refused.append(problem.word)
                    said = {"type": f"urn:ietf:params:acme:error:{problem.word}", "detail": problem.detail}
                    self._answer(problem.status, said, kind="application/problem+json")

            def _answer(self, status: int, said: Any, location: str = "", up: str = "", kind: str = JSON) -> None:
                content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/pem-certificate-chain" if isinstance(said, str) else kind)
                if up:
                    self.send_header("Link", f'<{up}>;rel="up"')
                self.send_header("Content-Length", f"{len(content)}")
                self.send_header("Replay-Nonce", authority.new_nonce())
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.directory = f"{self.base}/directory"
        self.urls = {word: f"{self.base}/{word}" for word in ("newNonce", "newAccount", "newOrder", "revokeCert")}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> AcmeAuthority:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def new_nonce(self) -> str:
        nonce = secrets.token_urlsafe(12)
        self._nonces.add(nonce)
        return nonce

    def asked(self, path: str, jws: dict[str, str]) -> tuple[Any, ...]:
        """The answer to a signed request: status, content, location, and what it belongs to."""
        protected = json.loads(unbase64(jws["protected"]))
        if self.spoil_nonces:
            self.spoil_nonces -= 1
            self._nonces.clear()
        if protected["nonce"] not in self._nonces:
            raise Problem("badNonce", "That nonce is none of mine.")
        self._nonces.remove(protected["nonce"])
        if protected["url"] != self.base + path:
            raise Problem("unauthorized", "The request is for another URL.", 403)
        jwk = protected["jwk"] if path == "/newAccount" else self.accounts.get(protected.get("kid", ""))
        if jwk is None:
            raise Problem("accountDoesNotExist", "No such account.")
        check_signature(jws, jwk)
        payload = json.loads(unbase64(jws["payload"])) if jws["payload"] else None
        kind, _, number = path.removeprefix("/").partition("/")
        if kind == "newAccount":
            return self._new_account(jwk, payload)
        if kind == "newOrder":
            return self._new_order(payload)
        order = self._orders.get(number)
        if order is None:
            raise Problem("malformed", "No such order.", 404)
        match kind:
            case "authorization":
                return 200, self._authorization(number, order)
            case "challenge":
                self._validate(order, jwk)
                return 200, self._challenge(number, order), "", f"{self.base}/authorization/{number}"
            case "finalize":
                self._finalize(order, payload)
                return 200, self._order(number, order)
            case "order":
                return 200, self._order(number, order)
            case "certificate":
                return 200, order["certificate"]
        raise Problem("malformed", "Nothing is there.", 404)

    def _new_account(self, jwk: dict[str, str], payload: dict[str, Any]) -> tuple[Any, ...]:
        if not payload.get("termsOfServiceAgreed"):
            raise Problem("userActionRequired", "The terms of service have to be agreed to.", 403)
        uri = f"{self.base}/account/{thumbprint(jwk)}"
        self.accounts[uri] = jwk
        return 201, {"status": "valid", "contact": payload.get("contact", [])}, uri

    def _new_order(self, payload: dict[str, Any]) -> tuple[Any, ...]:
        [identifier] = payload["identifiers"]
        number = secrets.token_urlsafe(6)
        order = {"name": identifier["value"], "token": secrets.token_urlsafe(24), "status": "pending", "error": None}
        self._orders[number] = order
        return 201, self._order(number, order), f"{self.base}/order/{number}"

    def _order(self, number: str, order: dict[str, Any]) -> dict[str, Any]:
        said = {
            "status": order["status"],
            "identifiers": [{"type": "dns", "value": order["name"]}],
            "authorizations": [f"{self.base}/authorization/{number}"],
            "finalize": f"{self.base}/finalize/{number}",
        }
        return said | ({"certificate": f"{self.base}/certificate/{number}"} if order["status"] == "valid" else {})

    def _authorization(self, number: str, order: dict[str, Any]) -> dict[str, Any]:
        status = {"pending": "pending", "invalid": "invalid"}.get(order["status"], "valid")
        identifier = {"type": "dns", "value": order["name"]}
        return {"status": status, "identifier": identifier, "challenges": [self._challenge(number, order)]}

    def _challenge(self, number: str, order: dict[str, Any]) -> dict[str, Any]:
        status = {"pending": "pending", "invalid": "invalid"}.get(order["status"], "valid")
        said = {"type": "http-01", "url": f"{self.base}/challenge/{number}", "token": order["token"], "status": status}
        return said | ({"error": order["error"]} if order["error"] else {})

    def _validate(self, order: dict[str, Any], jwk: dict[str, str]) -> None:
        """Look for the token from several places, as the Internet sees it: over HTTP, for the host."""
        wanted = f"{order['token']}.{thumbprint(jwk)}".encode()
        for _ in range(PERSPECTIVES):
            connection = http.client.HTTPConnection(self._listener(), timeout=5)
            try:
                path = f"/.well-known/acme-challenge/{order['token']}"
                connection.request("GET", path, headers={"Host": order["name"]})
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            self.fetched.append((order["name"], order["token"], answer.status))
            if (answer.status, content) != (200, wanted):
                order["status"] = "invalid"
                word = "urn:ietf:params:acme:error:unauthorized"
                detail = f"Found status {answer.status} at {order['name']}.\n\x1b[2J"
                order["error"] = {"type": word, "detail": detail}
                return
        order["status"] = "ready"

    def _finalize(self, order: dict[str, Any], payload: dict[str, Any]) -> None:
        request = x509.load_der_x509_csr(unbase64(payload["csr"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        asked = names.get_values_for_type(x509.DNSName)
        if order["status"] != "ready":
            raise Problem("orderNotReady", "Nothing was shown yet.", 403)
        if not request.is_signature_valid or asked != [order["name"]]:
            raise Problem("badCSR", f"The request is for {asked}.")
        order["certificate"] = self._certificates.sign(request, self.lifetime).decode()
        order["status"] = "valid"
        self.issued.append(asked)


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638."""
    plain = json.dumps({key: jwk[key] for key in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(plain.encode()).digest()).decode().rstrip("=")


def check_signature(jws: dict[str, str], jwk: dict[str, str]) -> None:
    """ES256 (RFC 7518, 3.4)."""
    x, y = (int.from_bytes(unbase64(jwk[key])) for key in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = unbase64(jws["signature"])
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    try:
        key.verify(signature, f"{jws['protected']}.{jws['payload']}".encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Problem("unauthorized", "The signature is wrong.", 403) from None

"""Tokens: which are believed, what is said to the others, and where the keys come from."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tokens import AUDIENCE, NAME, Issuer, by_hand, key_set, part, public_jwk, signed_with_secret

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.core.target import Authority, Form, Target
from interpose.filters.authentication.bearer import Bearer
from interpose.filters.authentication.filter import Authentication
from interpose.filters.authentication.key_source import FetchedKeys, FileKeys, KeySource
from interpose.filters.authentication.options import AuthenticationOptions, RequiredClaim
from interpose.filters.authentication.verdict import Pass, Refusal

INVALID = 'Bearer realm="Interpose", error="invalid_token", error_description='


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def options(**given: Any) -> AuthenticationOptions:
    table = {"name": "tokens", "kind": "jwt", "issuer": NAME, "audience": (AUDIENCE,), **given}
    return AuthenticationOptions(**table)


class Place:
    """A filter over keys, and what reached the origin."""

    def __init__(self, keys: KeySource, table: AuthenticationOptions, *, proxy: bool = False) -> None:
        self.clock = Clock()
        self.bearer = Bearer(table, keys, self.clock)
        discards = [] if table.keep_credentials else [self.bearer]
        self.filter = Authentication([self.bearer], proxy=proxy, discards=discards)
        self.name = "Proxy-Authorization" if proxy else "Authorization"
        self.seen: list[Request] = []
        self.exchange = Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0)

    async def origin(self, exchange: Exchange, request: Request) -> Response:
        self.seen.append(request)
        return Response(200)

    async def ask(self, token: str | None, host: str = "192.0.2.1", scheme: str = "Bearer") -> Response:
        self.exchange = Exchange(1, 0, "main", Address(host, 50000), 0.0)
        fields = Fields([] if token is None else [(self.name, f"{scheme} {token}")])
        request = Request("GET", Target(Form.ORIGIN, "http", Authority("example.org"), "/"), fields)
        return await self.filter(self.exchange, request, self.origin)


def place_of(tmp_path: Path, jwks: bytes, *, proxy: bool = False, **given: Any) -> Place:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks)
    table = options(jwks_file=str(path), **given)
    return Place(FileKeys(table), table, proxy=proxy)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_a_token_that_its_issuer_signed_lets_in(tmp_path: Path, algorithm: str) -> None:
    issuer = Issuer(algorithm)
    place = place_of(tmp_path, issuer.jwks())
    assert (await place.ask(issuer.token(groups=["staff", "admins"]))).status == 200
    assert (place.exchange.user, place.exchange.groups) == ("anna", ("staff", "admins"))
    assert (await place.ask(issuer.token(headers={"kid": None}), scheme="bEARER")).status == 200
    assert place.exchange.groups == ()  # a token that names none is of a user who is in none
    assert all("Authorization" in request.fields for request in place.seen)


async def test_nobody_is_asked_for_a_token(tmp_path: Path) -> None:
    place = place_of(tmp_path, Issuer().jwks(), realm='The "shop"')
    response = await place.ask(None)
    assert (response.status, response.fields["WWW-Authenticate"]) == (401, 'Bearer realm="The shop"')
    assert place.exchange.notes == {"filter": "auth", "rule": "tokens of tokens", "why": "No token was given."}
    place = place_of(tmp_path, Issuer().jwks(), proxy=True)
    response = await place.ask(None)
    assert (response.status, response.fields["Proxy-Authenticate"]) == (407, 'Bearer realm="Interpose"')


async def test_what_was_for_the_proxy_goes_no_further(tmp_path: Path) -> None:
    issuer = Issuer()
    for proxy in (True, False):
        place = place_of(tmp_path, issuer.jwks(), proxy=proxy, keep_credentials=False)
        assert (await place.ask(issuer.token())).status == 200
        assert len(place.seen[0].fields) == 0


ISSUER = Issuer("RS256")
PUBLIC = ISSUER.key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def odd(head: dict[str, Any], **claims: Any) -> str:
    """Claims that are good, under a head that is not."""
    return by_hand(head, ISSUER.claims(**claims), b"x" * 256)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (lambda: ISSUER.token(exp=time.time() - 31), "The token has expired."),
        (lambda: ISSUER.token(nbf=time.time() + 60), "The token is not valid yet."),
        (lambda: ISSUER.token(iat=time.time() + 60), "The token is not valid yet."),
        (lambda: ISSUER.token(exp=None), "The token does not say what it must."),
        (lambda: ISSUER.token(exp="9999999999"), "The token does not say when it expires."),
        (lambda: ISSUER.token(exp=10**400), "The token does not say when it expires."),
        (lambda: ISSUER.token(exp=float("nan")), "The credentials are no token that is known here."),
        (lambda: ISSUER.token(exp=float("inf")), "The credentials are no token that is known here."),
        (lambda: ISSUER.token(exp=True), "The token has expired."),
        (lambda: ISSUER.token(aud="elsewhere"), "The token is meant for somebody else."),
        (lambda: ISSUER.token(aud=None), "The token does not say what it must."),
        (lambda: ISSUER.token(sub=None), "The token names no user."),
        (lambda: ISSUER.token(sub=""), "The token names no user."),
        (lambda: ISSUER.token(sub="x" * 1025), "The token names no user."),
        (lambda: ISSUER.token(headers={"kid": "nobody's"}), "The token was signed with a key that is not known here."),
        (lambda: ISSUER.token()[:-8] + "AAAAAAAA", "The token's signature is wrong."),
        (lambda: odd({"alg": "RS256", "kid": "one"}), "The token's signature is wrong."),
        # RFC 8725, 2.1: no algorithm at all, and a public key for a secret
        (lambda: odd({"alg": "none", "kid": "one"}), "The token is signed in a way that is not accepted here."),
        (lambda: odd({"alg": "None"}), "The token is signed in a way that is not accepted here."),
        (lambda: signed_with_secret({"alg": "HS256", "kid": "one"}, ISSUER.claims(), PUBLIC),
         "The token is signed in a way that is not accepted here."),
        (lambda: odd({"alg": "RS512", "kid": "one"}), "The token is signed in a way that is not accepted here."),
        (lambda: odd({"alg": "ES256", "kid": "one"}), "The token was signed with a key that is not known here."),
        (lambda: odd({"alg": "RS256", "kid": "one", "crit": ["exp"]}),
         "The token is signed in a way that is not accepted here."),
        (lambda: ISSUER.token(headers={"crit": ["b64"], "b64": True}),
         "The token is signed in a way that is not accepted here."),
        # no token, or one of somebody else's
        (lambda: "abc", "The credentials are no token that is known here."),
        (lambda: "a.b.c", "The credentials are no token that is known here."),
        (lambda: ISSUER.token() + ".x", "The credentials are no token that is known here."),
        (lambda: by_hand(["RS256"], ISSUER.claims()), "The credentials are no token that is known here."),
        (lambda: by_hand({"alg": "RS256", "kid": 1}, ISSUER.claims()),
         "The credentials are no token that is known here."),
        (lambda: by_hand(b"[" * 6000, {}, b"x"), "The credentials are no token that is known here."),
        (lambda: by_hand({"alg": "RS256"}, b"[" * 6000, b"x"), "The credentials are no token that is known here."),
        (lambda: ISSUER.token(iss="https://other.example"), "The credentials are no token that is known here."),
        (lambda: ISSUER.token(iss=None), "The credentials are no token that is known here."),
    ],
)  # fmt: skip
async def test_a19_any_other_token_is_refused_with_the_reason(
    tmp_path: Path, token: Callable[[], str], why: str
) -> None:
    place = place_of(tmp_path, ISSUER.jwks())
    sent = token()
    response = await place.ask(sent)
    assert (response.status, place.seen, place.exchange.user) == (401, [], None)
    assert place.exchange.notes["why"] == why
    assert response.fields["WWW-Authenticate"] == f'{INVALID}"{why}"'
    assert sent not in str(place.exchange.notes) + str(response.body.arrived)


async def test_a_key_that_comes_with_the_token_is_not_believed(tmp_path: Path) -> None:
    place = place_of(tmp_path, ISSUER.jwks())
    stranger = Issuer("RS256", "mine")
    stranger.key = Issuer("short").key
    own = public_jwk(stranger.key)
    head = {"kid": None, "jwk": own, "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}
    with pytest.warns(match="2048"):
        token = stranger.token(headers=head)
    assert (await place.ask(token)).status == 401
    assert place.exchange.notes["why"] == "The token's signature is wrong."


async def test_of_several_issuers_the_one_that_the_token_names_decides(tmp_path: Path) -> None:
    first, second = Issuer(kid="one"), Issuer(kid="one")
    bearers = []
    for number, issuer in enumerate((first, second)):
        path = tmp_path / str(number)
        path.write_bytes(issuer.jwks())
        table = options(name=f"issuer {number}", jwks_file=str(path), issuer=f"https://{number}.example")
        bearers.append(Bearer(table, FileKeys(table)))
    place = place_of(tmp_path, first.jwks())
    place.filter = Authentication(bearers, proxy=False)
    assert (await place.ask(second.token(iss="https://1.example"))).status == 200
    assert (await place.ask(second.token(iss="https://0.example"))).status == 401
    assert place.exchange.notes["rule"] == "tokens of issuer 0"
    assert (await place.ask(second.token(iss="https://2.example"))).status == 401
    assert place.exchange.notes["rule"] == "tokens of issuer 0 or tokens of issuer 1"


@pytest.mark.parametrize(
    ("table", "claims", "status"),
    [
        ({"leeway_s": 3600.0}, {"exp": time.time() - 20}, 200),
        ({"audience": ("a", "b")}, {"aud": ["x", "b"]}, 200),
        ({"audience": ()}, {"aud": None}, 200),
        ({"audience": ()}, {"aud": "shop"}, 401),
        ({"issuer": ""}, {"iss": "anybody"}, 200),
        ({"user_claim": "email"}, {"email": "a@example.org"}, 200),
        ({"user_claim": "email"}, {}, 401),
        ({"user_claim": "https://x.example/user"}, {"https://x.example/user": "b"}, 200),
        ({"token_type": "at+jwt"}, {}, 401),
        ({"required": (RequiredClaim(claim="scope", values=("read", "write")),)}, {"scope": "openid write"}, 200),
        ({"required": (RequiredClaim(claim="scope", values=("read",)),)}, {"scope": "reader"}, 403),
        ({"required": (RequiredClaim(claim="tenant"),)}, {}, 403),
        ({"required": (RequiredClaim(claim="realm_access.roles", values=("x",)),)},
         {"realm_access": {"roles": ["x", 3]}}, 200),
    ],
)  # fmt: skip
async def test_what_a_table_demands(tmp_path: Path, table: dict[str, Any], claims: dict[str, Any], status: int) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks(), **table)
    token = issuer.token(**claims)
    for _ in range(2):
        assert (await place.ask(token)).status == status


async def test_a_type_may_be_demanded(tmp_path: Path) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks(), token_type="at+jwt")
    assert (await place.ask(issuer.token(headers={"typ": "application/at+JWT"}))).status == 200


async def test_who_may_not_is_told_what_is_missing(tmp_path: Path) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks(), required=(RequiredClaim(claim="scope", values=("read",)),))
    response = await place.ask(issuer.token())
    assert (response.status, response.fields["WWW-Authenticate"]) == (
        403,
        'Bearer realm="Interpose", error="insufficient_scope", error_description="scope is not what it must be", '
        'scope="read"',
    )


async def test_words_and_lists_are_groups(tmp_path: Path) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks(), groups_claim="realm_access.roles")
    for value, groups in (("a b", ("a", "b")), (["a", {}, "b c"], ("a", "b c")), (7, ()), ([], ())):
        await place.ask(issuer.token(realm_access={"roles": value}))
        assert place.exchange.groups == groups


async def test_a_secret_in_a_file_verifies_what_it_signed(tmp_path: Path) -> None:
    secret = b"k" * 32
    jwk = {"kty": "oct", "k": part(secret), "kid": "one"}
    place = place_of(tmp_path, key_set(jwk, ISSUER.jwk()), algorithms=("HS256", "RS256"))
    claims = ISSUER.claims()
    assert (await place.ask(signed_with_secret({"alg": "HS256", "kid": "one"}, claims, secret))).status == 200
    assert (await place.ask(signed_with_secret({"alg": "HS256", "kid": "one"}, claims, PUBLIC))).status == 401
    assert (await place.ask(signed_with_secret({"alg": "HS256"}, claims, b""))).status == 401


@pytest.mark.parametrize(
    ("jwks", "says"),
    [
        (b"", 'is not a JSON Web Key Set, which is {"keys": [...]}'),
        (b"[]", 'is not a JSON Web Key Set, which is {"keys": [...]}'),
        (b'{"keys":' + b"[" * 100_000, 'is not a JSON Web Key Set, which is {"keys": [...]}'),
        (key_set(), "has no key for RS256, ES256 that is long enough"),
        (key_set(public_jwk(Issuer("short").key)), "has no key for RS256, ES256 that is long enough"),
        (key_set(ISSUER.jwk(use="enc")), "has no key for RS256, ES256 that is long enough"),
        (key_set(ISSUER.jwk(key_ops=["sign"])), "has no key for RS256, ES256 that is long enough"),
        (key_set(ISSUER.jwk(alg="RS512")), "has no key for RS256, ES256 that is long enough"),
        (key_set({"kty": "oct", "k": part(b"k" * 64)}), "has no key for RS256, ES256 that is long enough"),
        (key_set({"kty": "RSA", "n": "?", "e": []}, {"kty": "EC", "crv": "P-256"}, {"kty": "X"}),
         "has no key for RS256, ES256 that is long enough"),
        (key_set(Issuer("ES384").jwk()), "has no key for RS256, ES256 that is long enough"),
    ],
)  # fmt: skip
def test_a_file_without_a_good_key_is_refused(tmp_path: Path, jwks: bytes, says: str) -> None:
    with pytest.raises(ValueError) as error:
        place_of(tmp_path, jwks, algorithms=("RS256", "ES256"))
    assert str(error.value) == says


async def test_a_verified_token_is_not_verified_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks(), remember_s=100.0)
    verified: list[object] = []
    real = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda *args, **more: verified.append(args) or real(*args, **more))
    long, short = issuer.token(), issuer.token(exp=time.time() + 20)
    for later, expected in ((0, 2), (49, 2), (51, 3), (99, 3), (102, 5)):
        place.clock.now = 1000.0 + later
        assert {(await place.ask(token)).status for token in (long, short)} == {200}
        assert len(verified) == expected


async def test_a37_what_is_remembered_is_not_the_token(tmp_path: Path) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks())
    good, bad = issuer.token(), issuer.token()[:-8] + "AAAAAAAA"
    await place.ask(good)
    await place.ask(bad)
    kept = repr(place.bearer._remembered._known)
    kept += repr([tries.wrong for tries in place.bearer._brake._tries.values()])
    assert "anna" in kept
    assert not any(one in kept for token in (good, bad) for one in (token, token.split(".")[2]))


async def test_a37_after_five_forged_tokens_a_client_waits(tmp_path: Path) -> None:
    issuer = Issuer()
    place = place_of(tmp_path, issuer.jwks())
    known = issuer.token()
    assert (await place.ask(known)).status == 200
    forged = [by_hand({"alg": "ES256", "kid": "one"}, issuer.claims(n=n), b"x" * 64) for n in range(6)]
    assert [(await place.ask(token)).status for token in (*forged[:5], forged[0])] == [401] * 5 + [429]
    response = await place.ask(issuer.token(n=1))
    assert (response.status, response.fields["Retry-After"]) == (429, "61")
    assert (await place.ask(known)).status == 200
    assert (await place.ask(issuer.token(n=1), host="192.0.2.2")).status == 200
    place.clock.now += 61
    assert (await place.ask(issuer.token(n=1))).status == 200


async def test_a_changed_file_counts_within_a_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second = Issuer(kid="one"), Issuer(kid="two")
    path = tmp_path / "jwks.json"
    path.write_bytes(first.jwks())
    table, clock = options(jwks_file=str(path)), Clock()
    place = Place(FileKeys(table, clock), table)
    place.clock.now = 0.0
    assert (await place.ask(first.token())).status == 200
    token = first.token()
    assert (await place.ask(token)).status == 200
    path.write_bytes(b"{}")
    clock.now += 1
    assert (await place.ask(token)).status == 200
    path.write_bytes(second.jwks())
    clock.now += 1
    assert [(await place.ask(one)).status for one in (token, second.token())] == [401, 200]
    assert caplog.messages == [
        f'keys not read again, the old ones stay: {path}: is not a JSON Web Key Set, which is {{"keys": [...]}}',
        f"keys read again from {path}: 1",
    ]


# --- keys that are fetched -----------------------------------------------------------------------------------------


class Server:
    """Where keys are fetched: what it says, and how often it was asked."""

    def __init__(self, *issuers: Issuer) -> None:
        self.issuers = list(issuers)
        self.asked = 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> bytes:
        self.asked += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return key_set(*(issuer.jwk() for issuer in self.issuers))


class Fetched(Place):
    """A filter over keys that are fetched. One clock for both."""

    def __init__(self, server: Server, **given: Any) -> None:
        table = options(jwks_url="https://issuer.example/keys", **given)
        keys = FetchedKeys(table, server.fetch, lambda: self.clock.now if hasattr(self, "clock") else 1000.0)
        super().__init__(keys, table)


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    issuer = Issuer()
    server = Server(issuer)
    place = Fetched(server)
    server.gate.clear()
    asking = [asyncio.ensure_future(place.ask(issuer.token(n=n))) for n in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    asking.pop().cancel()
    server.gate.set()
    assert [response.status for response in await asyncio.gather(*asking)] == [200] * 4
    assert server.asked == 1


async def test_a_new_key_is_asked_for_at_a_bounded_rate() -> None:
    first, second = Issuer(kid="one"), Issuer(kid="two")
    server = Server(first)
    place = Fetched(server, least_refresh_s=10.0)
    assert (await place.ask(first.token())).status == 200
    server.issuers.append(second)
    assert (await place.ask(second.token())).status == 401
    place.clock.now += 10
    assert (await place.ask(second.token())).status == 200
    assert server.asked == 2
    place.clock.now += 10
    for number in range(50):
        assert (await place.ask(Issuer(kid=f"unknown {number}").token())).status == 401
    assert server.asked == 3
    assert (await place.ask(second.token(n=2))).status == 200


async def test_a_key_that_is_gone_is_believed_no_more() -> None:
    first, second = Issuer(kid="one"), Issuer(kid="two")
    server = Server(first)
    place = Fetched(server, refresh_s=60.0)
    token = first.token()
    assert (await place.ask(token)).status == 200
    server.issuers = [second]
    place.clock.now += 60
    assert (await place.ask(token)).status == 200  # the old keys answer while new ones are fetched
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [(await place.ask(one)).status for one in (token, second.token())] == [401, 200]
    assert server.asked == 2


@pytest.mark.parametrize("failure", [Failure("connection_refused", Side.UPSTREAM, "no"), ValueError("it answered 500")])
async def test_old_keys_go_on_for_a_stated_time(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    server = Server(issuer)
    place = Fetched(server, refresh_s=60.0, stale_s=3600.0, remember_s=0.0)
    assert (await place.ask(issuer.token())).status == 200
    server.failure = failure
    for later in (61, 100, 3599):
        place.clock.now = 1000.0 + later
        assert (await place.ask(issuer.token())).status == 200
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    place.clock.now = 1000.0 + 3611
    with pytest.raises(Failure) as refused:
        await place.ask(issuer.token())
    assert (refused.value.status, place.exchange.notes["why"]) == (
        503,
        "The keys for tokens cannot be had at the moment.",
    )
    server.failure = None
    place.clock.now += 10
    assert (await place.ask(issuer.token())).status == 200
    assert len([text for text in caplog.messages if text.startswith("keys not fetched")]) == 1


async def test_without_keys_nobody_is_let_in_and_it_is_tried_again_soon() -> None:
    issuer = Issuer()
    server = Server(issuer)
    server.failure = ValueError("it answered 404")
    place = Fetched(server)
    for _ in range(3):
        with pytest.raises(Failure):
            await place.ask(issuer.token())
    assert server.asked == 1
    server.failure = None
    place.clock.now += 1
    assert (await place.ask(issuer.token())).status == 200


async def test_a_secret_at_a_url_is_none() -> None:
    class Open(Server):
        async def fetch(self) -> bytes:
            return json.dumps({"keys": [{"kty": "oct", "k": part(b"k" * 32)}, ISSUER.jwk()]}).encode()

    place = Fetched(Open(), algorithms=("HS256", "RS256"))
    assert (await place.ask(signed_with_secret({"alg": "HS256"}, ISSUER.claims(), b"k" * 32))).status == 401
    assert (await place.ask(ISSUER.token())).status == 200


# --- anything at all -------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_HEADS = st.fixed_dictionaries(
    {},
    optional={name: _JSON | st.sampled_from(["RS256", "one", "JWT"]) for name in ("alg", "kid", "typ", "crit", "b64")},
)
_CLAIMS = st.fixed_dictionaries(
    {}, optional={name: _JSON | st.just(NAME) for name in ("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "groups")}
)
_PARTS = st.binary(max_size=40).map(part) | _HEADS.map(part) | _CLAIMS.map(part)
_SIGNED = st.tuples(st.just("signed"), _HEADS, _CLAIMS)
_ODD = st.lists(_PARTS, max_size=5).map(lambda parts: ("odd", ".".join(parts))) | st.tuples(st.just("odd"), st.text())


@settings(max_examples=200, deadline=None)
@given(_SIGNED | _ODD)
def test_a2_whatever_comes_is_a_verdict(tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Any, ...]) -> None:
    """Also what the issuer itself has signed is let in or refused, and nothing else happens."""
    secret = b"k" * 32
    jwk = {"kty": "oct", "k": part(secret), "kid": "one"}
    place = place_of(tmp_path_factory.getbasetemp(), key_set(jwk), algorithms=("HS256",), tries_per_minute=1000)
    if drawn[0] == "signed":
        _, head, claims = drawn
        token = signed_with_secret({"alg": "HS256", **head}, {**ISSUER.claims(), **claims}, secret)
    else:
        token = drawn[1]
    value = f"Bearer {token}".encode("latin-1", "replace")
    request = Request("GET", Target(Form.ORIGIN, "http", Authority("a"), "/"), Fields())
    verdict = asyncio.run(place.bearer.judge(place.exchange, request, value))
    assert verdict is None or isinstance(verdict, Pass | Refusal)

"""The `[[authentication]]` table: one way to know who somebody is."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from interpose.core.units import Seconds, Timeout

Name = Annotated[str, Meta(extra={"kind": "name"})]
File = Annotated[str, Meta(extra={"kind": "file"})]
Token = Annotated[str, Meta(extra={"kind": "token"})]
Url = Annotated[str, Meta(extra={"kind": "webhook"})]
Label = Annotated[str, Meta(extra={"kind": "label"})]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]
Told = Literal["client", "method", "host", "uri"]


class RequiredClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(jwt) What a token must say besides; without it the answer is 403."""

    claim: Label
    """The claim; `realm_access.roles` is one inside another."""

    values: tuple[str, ...] = ()
    """One of these must be its value, one of its list, or one of its words. Empty: it must be there."""


class AuthenticationOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to know who somebody is."""

    name: Name
    """What listeners and routes call it."""

    kind: Literal["passwords", "jwt", "forward", "script"] = "passwords"
    """`passwords`: Basic authentication by a file of users. `jwt`: Bearer tokens that somebody signed. `forward`: a
    service is asked about each request. `script`: a function of yours says who it is."""

    realm: Label = "Interpose"
    """What a browser's dialogue calls the place that asks."""

    tries_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 5
    """Wrong credentials that one client address may try; then it gets 429 until the minute is over. Each worker counts
    for itself."""

    remember_s: Seconds = 300.0
    """(passwords, jwt) How long credentials that were right need not be checked again; a token never longer than it
    lasts."""

    keep_credentials: bool = True
    """Whether `Authorization` goes on to the server. `Proxy-Authorization` never does."""

    file: File | None = None
    """(passwords) Users and hashes of their passwords, as `htpasswd -B` writes them. It is read again when it
    changes."""

    groups_file: File | None = None
    """(passwords) Groups and their users, a line `group: user user` for each. It is read again when it changes."""

    jwks_file: File | None = None
    """(jwt) The keys that tokens are signed with, a JSON Web Key Set. It is read again when it changes."""

    jwks_url: Url = ""
    """(jwt) Where the keys are, instead of a file. They are fetched by each worker when it first needs them."""

    issuer: Label = ""
    """(jwt) Who must have made the token: its `iss`, exactly."""

    audience: tuple[Label, ...] = ()
    """(jwt) One of these must be in its `aud`. Empty: only tokens without `aud` are accepted."""

    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
    """(jwt) How a token may be signed. HS256 and its like need a secret, which only a file can hold."""

    token_type: Label = ""
    """(jwt) What the token's `typ` must be, such as `at+jwt`. Empty: anything."""

    user_claim: Label = "sub"
    """(jwt) The claim that names the user."""

    groups_claim: Label = "groups"
    """(jwt) The claim that lists the groups: a list, or words; `realm_access.roles` is one inside another."""

    required: tuple[RequiredClaim, ...] = ()
    """(jwt) What a token must say besides."""

    leeway_s: Seconds = 30.0
    """(jwt) How far the issuer's clock may be off."""

    refresh_s: Timeout = 3600.0
    """(jwt) How old fetched keys become before they are fetched again."""

    least_refresh_s: Timeout = 10.0
    """(jwt) The least time from one fetch to the next, however many tokens name keys that nobody knows."""

    stale_s: Seconds = 86_400.0
    """(jwt) How old fetched keys may become while new ones cannot be had; then the answer is 503."""

    url: Url = ""
    """(forward) The service that is asked, with a GET. 2xx lets the request in, every other answer but 5xx goes to the
    client."""

    request_fields: tuple[Token, ...] = ("Authorization", "Cookie")
    """(forward) Fields of the request that the service gets to see, besides `X-Forwarded-*`."""

    response_fields: tuple[Token, ...] = ()
    """(forward) Fields of its answer that go on with the request. What clients send by these names is taken off, on
    every route of the listener."""

    user_field: Token | None = None
    """(forward) The field of its answer that names the user."""

    groups_field: Token | None = None
    """(forward) The field of its answer that lists the groups, with commas between."""

    on_failure: Literal["deny", "allow"] = "deny"
    """(forward) What happens when it does not answer in time, or with 5xx: 503, or the request goes on and nobody knows
    whose it is."""

    cache_s: Seconds = 0.0
    """(forward) How long a 2xx holds for requests that are the same in what the service was told. 0: it is asked each
    time."""

    cache_by: tuple[Told, ...] = ("client", "method", "host", "uri")
    """(forward) What besides `request_fields` must be the same for that; `[]` where the service looks at nothing
    else."""

    timeout_s: Timeout = 5.0
    """(jwt, forward) How long a fetch or an answer may take."""

    ca_file: File | None = None
    """(jwt, forward) Certificates of the authorities to believe, in PEM, instead of the system's."""

    script: File | None = None
    """(script) Python with one function marked `@interpose.authenticator`. It is read again when it changes."""

"""What holds for one request, by the rules of an operator, and the key that its answer is stored under.

What chooses an answer has to be in the key, or one client could choose for another (THREATS A14). In it are the scheme
and authority, the path and the query as they came, and what the operator names. Fields that servers are known to
believe, although caches do not look at them, are neither there nor harmless: see UNKEYED.
"""

from __future__ import annotations

from collections.abc import Sequence

from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine
from interpose.core.message import Request
from interpose.core.target import Target
from interpose.filters.cache.options import CacheOptions, CacheRule
from interpose.protocol.cache_key import cookie, key_of
from interpose.protocol.caching import Asked
from interpose.protocol.forwarding import IDENTITY
from interpose.protocol.freshness import GATEWAY_TARGETS, Policy
from interpose.protocol.variants import names

# The way and the target as somebody else tells it. With one of these a request may read what is stored, but what it
# gets is stored only where the answer varies on the field.
_BELIEVED = frozenset(
    b"base-url client-ip front-end-https http-host http-url max-forwards origin proxy-host proxy-url "
    b"real-ip request-uri rsc uri url x-backend-host x-custom-ip-authorization x-debug x-forward-for "
    b"x-forwarded-path x-forwarded-uri x-host x-http-destinationurl x-http-host-override x-http-method "
    b"x-http-method-override x-https x-invoke-path x-method-override x-middleware-prefetch x-middleware-subrequest "
    b"x-nextjs-data x-original-host x-original-uri x-original-path x-override-url x-proxy-url x-proxyuser-ip "
    b"x-rewrite-uri x-scheme x-url-scheme x-wap-profile".split(b" ")
)
UNKEYED = _BELIEVED | IDENTITY

# Of what a trusted proxy says, this is about the client alone.
_OF_THE_CLIENT = frozenset(
    b"cf-connecting-ip fastly-client-ip forwarded true-client-ip x-client-ip x-cluster-client-ip x-forwarded-for "
    b"x-forwarded-client-cert x-original-forwarded-for x-originating-ip x-real-ip x-remote-addr x-remote-ip".split(b" ")
)
_KEYED = IDENTITY - _OF_THE_CLIENT


MOST_KEYS = 1024
LONGEST_KEY = 2048
"""Of the keys that are remembered for each way."""


class Way:
    """What holds for some requests."""

    __slots__ = ("_keys", "bypass", "ignored", "is_plain", "key_cookies", "key_fields", "policy", "tag_fields")

    def __init__(self, options: CacheOptions, rule: CacheRule | None = None) -> None:
        rule = rule or CacheRule()
        self.bypass = rule.bypass
        self.policy = Policy(
            name=options.name.encode("ascii"),
            heuristic=options.heuristic,
            default_ttl_s=options.ttl_s if rule.ttl_s is None else rule.ttl_s,
            override_ttl_s=rule.override_ttl_s,
            grace_s=options.grace_s if rule.grace_s is None else rule.grace_s,
            unreachable_s=options.unreachable_s if rule.unreachable_s is None else rule.unreachable_s,
            targets=GATEWAY_TARGETS if options.surrogate else (),
            obeys_requests=options.obey_requests,
            stores_cookies=options.store_cookies,
        )
        ignored = options.ignored_parameters if rule.ignored_parameters is None else rule.ignored_parameters
        self.ignored = frozenset(ignored)
        cookies = options.key_cookies if rule.key_cookies is None else rule.key_cookies
        self.key_cookies = [(f"cookie:{name}", name.encode("utf-8")) for name in cookies]
        fields = options.key_fields if rule.key_fields is None else rule.key_fields
        self.key_fields = [(name.lower(), name.lower().encode("latin-1", "replace")) for name in fields]
        self.is_plain = not self.key_cookies and not self.key_fields
        self._keys: dict[int, tuple[Target, bytes]] = {}
        self.tag_fields = tuple([name.lower().encode("latin-1", "replace") for name in options.tag_fields])

    def key_of(self, target: Target) -> bytes:
        """The key of a target that needs no more to be told apart. The parser has one object for what is asked for
        again and again, so the key is found by that: hashing a target costs more than making its key."""
        known = self._keys.get(id(target))
        if known is not None and known[0] is target:
            return known[1]
        key = key_of(target, (), self.ignored)
        if len(key) <= LONGEST_KEY:
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            self._keys[id(target)] = target, key
        return key


class Rules:
    """Finds the way of a request, and its key."""

    def __init__(self, options: CacheOptions) -> None:
        self._is_gateway = options.is_gateway
        self._trusts = options.trusts
        self._realm = options.realm
        self._keys_host = options.keys_host
        self._telling = frozenset([name.encode("latin-1", "replace") for name in options.told_fields])
        self.default = Way(options)
        self._rules = [(_Matcher(rule), Way(options, rule)) for rule in options.rules]
        ways = [self.default, *(way for _, way in self._rules)]
        has_one_key = not options.trusts and not options.realm and not options.has_variants
        self.keys_are_plain = all(way.is_plain for way in ways) and has_one_key
        """Whether a target has one key and no more."""

    def way_of(self, request: Request) -> Way:
        """What holds for this request."""
        for matcher, way in self._rules:
            if matcher.matches(request):
                return way
        return self.default

    def key_of(self, exchange: Exchange, request: Request, way: Way) -> bytes:
        """What the answer to a GET like this is stored under."""
        target = request.target
        if way.is_plain and not self._trusts and not self._realm and not exchange.representation:
            came_as_told = not self._is_gateway or (target[1] == "https") is (exchange.tls is not None)
            if came_as_told:
                return way.key_of(target)
        additions: list[tuple[str, str]] = [("route", self._realm)] if self._realm else []
        if self._keys_host:
            additions.append(("asked-host", request.fields.get("X-Forwarded-Host", "")))
        additions += exchange.representation
        if not way.is_plain:
            lines = request.fields.lines
            additions += [(name, _text(request.fields.get(key.decode("latin-1")))) for name, key in way.key_fields]
            for name, key in way.key_cookies:
                value = cookie(lines, key)
                additions.append((name, "" if value is None else f"={value.decode('latin-1')}"))
        if self._is_gateway:
            if (target.scheme == "https") is (exchange.tls is None):  # what the origin is told differs from the target
                additions.append(("came-by", "http" if exchange.tls is None else "https"))
            if self._trusts:
                additions += [
                    (line.key.decode("ascii"), line.value.decode("latin-1"))
                    for line in request.fields.lines
                    if line.key in _KEYED
                ]
        return key_of(target, additions, way.ignored)

    def key_of_target(self, target: Target, way: Way) -> bytes:
        """The key of a target that needs no more to be told apart (`keys_are_plain`)."""
        return key_of(target, (), way.ignored)

    def asked_by(self, asked: Asked, lines: Sequence[FieldLine], answer: Sequence[FieldLine]) -> Asked:
        """`asked` as the request of somebody, where one of its fields says who that is and the answer does not vary on
        it: it has credentials, in other words (THREATS A15)."""
        if self._telling and not asked.has_authorization:
            said = [line.key for line in lines if line.key in self._telling]
            if said and not set(said).issubset(names(answer) or ()):
                return asked._replace(has_authorization=True)
        return asked

    def may_fill(self, lines: Sequence[FieldLine], varies_on: Sequence[bytes], answer: Sequence[FieldLine]) -> bool:
        """Whether what a request with these fields gets (the fields of `answer`) is what another would get as well.

        Browsers put Origin on every request for a font or a script of another site. An answer that such sites may all
        read says so with `*`, and is the same for each of them.
        """
        for line in lines:
            if line.key in UNKEYED and not (self._is_gateway and line.key in IDENTITY) and line.key not in varies_on:
                if line.key != b"origin" or not _is_for_every_origin(answer):
                    return False
        return True


def _is_for_every_origin(answer: Sequence[FieldLine]) -> bool:
    return [line.value for line in answer if line.key == b"access-control-allow-origin"] == [b"*"]


def _text(value: str | None) -> str:
    return "" if value is None else f"={value}"


class _Matcher:
    """Whether a rule is about a request."""

    __slots__ = ("_cookie", "_field", "_path", "_value")

    def __init__(self, rule: CacheRule) -> None:
        self._path = rule.path.rstrip("/")
        name, _, value = rule.field.partition(":")
        self._field = name.strip(" ").lower().encode("latin-1", "replace")
        self._value = value.strip(" ").encode("latin-1", "replace")
        self._cookie = rule.cookie.encode("utf-8")

    def matches(self, request: Request) -> bool:
        """Whether it is."""
        path = request.target.path
        if self._path and path != self._path and not path.startswith(f"{self._path}/"):
            return False
        if self._field:
            values = request.fields.every(self._field)
            if not values or (self._value and self._value not in values):
                return False
        return not self._cookie or cookie(request.fields.lines, self._cookie) is not None

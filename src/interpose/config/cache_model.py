"""The `[[cache]]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.texts import File, Folder, Name, RedisUrl, Token
from interpose.core.units import Bytes
from interpose.filters.cache.options import CacheRule, CacheSeconds

Room = Annotated[int, Meta(ge=1 << 20, le=1 << 50)]
Budget = Annotated[float, Meta(ge=0.001, le=10)]
Connections = Annotated[int, Meta(ge=1, le=256)]


class Cache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers that are kept, so that the next who asks is served without the server."""

    name: Name
    """What listeners and routes call it."""

    memory_bytes: Room = 268435456
    """Memory for what is kept, in each worker. With dir or redis: for copies of what is used most."""

    dir: Folder = ""
    """A directory for what is kept on disk, shared by all workers and there after a restart. Empty: nothing is kept on
    disk."""

    disk_bytes: Room = 1073741824
    """(with dir) Room on disk. A reload accepts another figure, but it counts in workers that are started from then
    on."""

    max_object_bytes: Bytes = 0
    """The longest content that is kept. 0: an eighth of the memory; on disk 1 GiB, and half of the room at most; in
    Redis 1 MiB. On disk another figure counts as that for the room does."""

    redis: RedisUrl = ""
    """A Redis or Valkey for what is kept, shared by all machines whose caches have the same name and key:
    `redis://host:port`, `rediss://user:password@host/database` or `unix:///path`. Empty: none. Not together with
    dir."""

    redis_key_file: File | None = None
    """(with redis) A file with a secret that all machines know. What was not stored with it is not there. Without
    one the user and password of the URL are the secret."""

    redis_connect_timeout_s: Budget = 0.02
    """(with redis) How long a connection may take to come about."""

    redis_timeout_s: Budget = 0.05
    """(with redis) How long a command may take. A request waits for no longer, and goes on without what is there."""

    max_redis_connections: Connections = 8
    """(with redis) Connections of each worker, at most."""

    heuristic: Literal["auto", "on", "off"] = "auto"
    """Whether an answer with Last-Modified that does not say how long it is fresh is so for a tenth of its age, a day
    at most. `auto`: on a proxy, but not on a gateway."""

    ttl_s: CacheSeconds | None = None
    """How long an answer is fresh that does not say so itself."""

    grace_s: CacheSeconds = 0.0
    """How long a stale answer may stand in for a server that fails, unless it forbids that."""

    unreachable_s: CacheSeconds = 60.0
    """The same for a server that does not answer at all; the longer of the two counts then."""

    obey_requests: bool = True
    """Whether clients may ask for a validation (`no-cache`, `max-age`) or accept stale answers (`max-stale`)."""

    store_cookies: bool = False
    """Whether answers that set cookies are kept."""

    finish_abandoned: bool = True
    """Whether an answer that is being fetched is fetched to its end when nobody waits for it any more."""

    ignored_parameters: tuple[str, ...] = ()
    """Parameters of the query that make no difference; `utm_*` is every one that begins so."""

    key_cookies: tuple[Token, ...] = ()
    """Cookies that make a difference: each value has answers of its own."""

    key_fields: tuple[Token, ...] = ()
    """Fields of the request that make a difference, whether the answer says so in Vary or not."""

    tag_fields: tuple[Token, ...] = ("surrogate-key", "cache-tag")
    """Fields of answers whose words `interpose cache purge tag:WORD` knows."""

    rules: tuple[CacheRule, ...] = field(default=(), name="rule")
    """What holds for some requests. The first rule that matches counts."""

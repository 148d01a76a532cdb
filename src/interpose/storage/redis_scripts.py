"""What Redis does in one step, so that two nodes that change the same response do not meet half-way.

Every script begins with the same arguments: ROOT, KEY, VARIANT and what is announced when something has changed ("" to
announce nothing). All of them answer with the number and size of what is stored. Times are the server's own.
"""

from __future__ import annotations

MAX_VARIANTS = 64
NEWS_LENGTH = 2048
"""About so many announcements are remembered for nodes that did not listen for a while."""

_START = """
local root, id, field, news = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local heads, all, totals = root .. 'h:' .. id, root .. 'all', root .. 'totals'
local now = tonumber(redis.call('TIME')[1])

local function count(objects, bytes)
    redis.call('HINCRBY', totals, 'objects', objects)
    redis.call('HINCRBY', totals, 'bytes', bytes)
end

local function ident_of(value) return string.sub(value, 3, 34) end
local function body_of(value) return string.sub(value, 35, 66) end
local function size_of(value)
    local size = string.sub(value, 67, 82)
    return string.match(size, '^%x+$') and tonumber(size, 16) or 0
end
local function member_of(id, field, value) return string.format('%s:%s:%x', id, field, size_of(value)) end

-- Removes a variant, and its content too unless that is `kept`.
local function drop(id, field, kept)
    local heads = root .. 'h:' .. id
    local value = redis.call('HGET', heads, field)
    if not value then return false end
    redis.call('HDEL', heads, field)
    local body = body_of(value)
    if body ~= kept and string.match(body, '^%x+$') then
        redis.call('UNLINK', root .. 'b:' .. id .. ':' .. body)
    end
    if redis.call('ZREM', all, member_of(id, field, value)) == 1 then count(-1, -size_of(value)) end
    return true
end

-- Some of those whose time is over: Redis has removed them by itself, or the others under the same key have kept them.
local function clean()
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', all, '-inf', now, 'LIMIT', 0, 20)) do
        local id, field, size = string.match(member, '^(%x+):(%x+):(%x+)$')
        if id then drop(id, field, '') end
        if redis.call('ZREM', all, member) == 1 then count(-1, -(size and tonumber(size, 16) or 0)) end
    end
end

-- No shorter than it is.
local function expire(name, ttl)
    if redis.call('TTL', name) < ttl then redis.call('EXPIRE', name, ttl) end
end

local function announce()
    if news ~= '' then
        redis.call('XADD', root .. 'news', 'MAXLEN', '~', NEWS_LENGTH, '*', 'm', news)
    end
end

local function answer(changed)
    local counted = redis.call('HMGET', totals, 'objects', 'bytes')
    return {changed, tonumber(counted[1] or 0) or 0, tonumber(counted[2] or 0) or 0}
end
""".replace("NEWS_LENGTH", str(NEWS_LENGTH))

PUT = (
    _START
    + """
-- ARGV from the fifth on: the record, seconds to keep it, its body, content for that, the ident that must be there
-- (or ""), in which variant, the most seconds of all, and the scopes.
local value, ttl, body, content = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local expected, before, most = ARGV[9], ARGV[10], tonumber(ARGV[11])
if expected ~= '' then
    local old = redis.call('HGET', heads, before)
    if not old or ident_of(old) ~= expected then return answer(0) end
    if before ~= field then drop(id, before, body) end
end
local has_others = redis.call('EXISTS', heads) == 1 or expected ~= ''
drop(id, field, body)
if string.match(body, '^%x+$') then
    local name = root .. 'b:' .. id .. ':' .. body
    if content ~= '' then
        redis.call('SET', name, content, 'EX', ttl)
    elseif redis.call('EXPIRE', name, ttl) == 0 then
        return answer(0)
    end
end
redis.call('HSET', heads, field, value)
expire(heads, ttl)
redis.call('ZADD', all, now + ttl, member_of(id, field, value))
count(1, size_of(value))
expire(all, most)
expire(totals, most)
for place = 12, #ARGV do
    local scope = root .. 's:' .. ARGV[place]
    redis.call('ZREMRANGEBYSCORE', scope, '-inf', now)
    redis.call('ZADD', scope, 'GT', now + ttl, id)
    expire(scope, most)
end
local most_variants = MAX_VARIANTS
if redis.call('HLEN', heads) > most_variants then
    local first, least = nil, math.huge
    for _, other in ipairs(redis.call('HKEYS', heads)) do
        local score = redis.call('ZSCORE', all, member_of(id, other, redis.call('HGET', heads, other)))
        if other ~= field and (tonumber(score or 0)) < least then first, least = other, tonumber(score or 0) end
    end
    drop(id, first, '')
end
clean()
if has_others then announce() end
expire(root .. 'news', most)
return answer(1)
""".replace("MAX_VARIANTS", str(MAX_VARIANTS))
)
"""Store a response, or give one that is still there another head."""

DROP = (
    _START
    + """
local old = redis.call('HGET', heads, field)
local is_there = old and ident_of(old) == ARGV[5]
if is_there then
    drop(id, field, '')
    announce()
end
clean()
return answer(is_there and 1 or 0)
"""
)
"""Remove a response if it is still the one with the ident in the fifth argument."""

_ANNOUNCE = """
redis.call('UNLINK', root .. 'nothing')  -- needs no room; after it Redis lets the rest run even when it is full
announce()
return answer(1)
"""

FORGET = (
    _START
    + """
for _, other in ipairs(redis.call('HKEYS', heads)) do drop(id, other, '') end
clean()
"""
    + _ANNOUNCE
)
"""Remove all variants of a key, and announce that in any case: others may have what has gone from here."""

TELL = _START + _ANNOUNCE
"""Announce something."""

"""What is stored in Redis, and the scripts that touch it: each is atomic.

One hash for each customer:

- `v`: the highest version that is known, by a value or by an invalidation: the floor;
- `d` and `x`: the value of exactly that version, encoded, and the moment of Redis's clock, in
  milliseconds, at which its time to live is over. Absent after an invalidation.

All times are of Redis's own clock, so the clocks of the processes may differ. A write needs a
ticket: the time of the look-up that came before the read of the database. A command that lay in a
socket's buffer while Redis stood still is thus recognised as old when it is carried out at last.

A floor outlives every write that could be below it. Such a write read the database before the
invalidation, so its ticket is older than the floor, and it is refused one time to live after its
ticket; the floor is kept for longer than one time to live.

Scripts need Redis 5 or later, which replicates their effects: they read the clock and then write.
"""

from typing import Final

_NOW: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""

LOOKUP: Final = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'v', 'x', 'd')
if not held[1] then return {'-1', now, 0, false} end
local left = (tonumber(held[2] or '0')) - now
if left <= 0 or not held[3] then return {held[1], now, 0, false} end
return {held[1], now, left, held[3]}
"""
)
"""KEYS: the customer's. Returns the floor, the ticket, and the value's remaining ms and bytes."""

STORE: Final = (
    _NOW
    + """
local held = redis.call('HGET', KEYS[1], 'v')
if held and tonumber(held) > tonumber(ARGV[1]) then return held end
local expires = tonumber(ARGV[2]) + tonumber(ARGV[3])
if expires <= now then return ARGV[1] end
local left = math.max(redis.call('PTTL', KEYS[1]), expires - now)
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'x', string.format('%.0f', expires), 'd', ARGV[4])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left))
return ARGV[1]
"""
)
"""KEYS: the customer's. ARGV: version, ticket, time to live in ms, value. Stores it unless a newer
version is known; returns the highest version that is."""

INVALIDATE: Final = """
redis.call('PUBLISH', ARGV[3], ARGV[4])
local held = redis.call('HGET', KEYS[1], 'v')
if held and tonumber(held) > tonumber(ARGV[1]) then return held end
if held ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'v', ARGV[1])
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return ARGV[1]
"""
"""KEYS: the customer's. ARGV: version, life of the floor in ms, channel, message. Tells the others
first, so that they are told even when Redis has no memory left to write with."""

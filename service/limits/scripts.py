"""The arithmetic of local_store.py once more, in Lua, so that a decision over four keys is one round trip and atomic.

Numbers are whole microseconds below 2^53, which a Lua number holds exactly. ARGV[1] is the time, or 0 for the server's own: one
clock for all replicas of a cell. Every key ends by itself when it says nothing any more.
"""

from __future__ import annotations

_SHARED = """
local function number(key) return tonumber(redis.call('GET', key) or '0') end
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local function whole(value) return string.format('%.0f', value) end
local function milliseconds(span) return whole(math.max(1, math.ceil(span / 1000))) end

local function wait(full_at, interval, burst)
  if burst == 0 then return 0 end
  return math.max(0, math.max(full_at, now) + interval - interval * burst - now)
end
local function keep(key, full_at)
  if full_at > now then redis.call('SET', key, whole(full_at), 'PX', milliseconds(full_at - now))
  else redis.call('DEL', key) end
end
local function left(full_at, interval, burst)
  if burst == 0 then return 0 end
  return math.floor((interval * burst - math.max(0, full_at - now)) / interval)
end
local function verdict(reason, span, full_at, interval, burst)
  return {reason, whole(span), burst, left(full_at, interval, burst), whole(math.max(0, full_at - now))}
end

local function strikes(key)
  local found = redis.call('GET', key)
  if not found then return 0, 0, 0 end
  local count, at, until_ = string.match(found, '^(%d+):(%d+):(%d+)$')
  return tonumber(count), tonumber(at), tonumber(until_)
end
local function leaked(count, at, leak) return math.max(0, count - math.floor(math.max(0, now - at) / leak)) end
local function keep_strikes(key, count, until_, leak)
  if count == 0 then redis.call('DEL', key) return end
  local life = math.max(count * leak, until_ - now)
  redis.call('SET', key, whole(count)..':'..whole(now)..':'..whole(until_), 'PX', milliseconds(life))
end
local function strike(key, free, base, most, leak)
  local count, at = strikes(key)
  count = leaked(count, at, leak) + 1
  local over, until_ = count - free, 0
  if over > 0 then until_ = now + math.min(most, base * 2 ^ math.min(over - 1, 20)) end
  keep_strikes(key, count, until_, leak)
end
"""

# KEYS: bucket. ARGV: now, interval, burst.
TAKE = (
    _SHARED
    + """
local interval, burst = tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = number(KEYS[1])
local span = wait(full_at, interval, burst)
if span > 0 then return verdict('address', span, full_at, interval, burst) end
if burst > 0 then
  full_at = math.max(full_at, now) + interval
  keep(KEYS[1], full_at)
end
return verdict('', 0, full_at, interval, burst)
"""
)

# KEYS: address bucket, account bucket, pair strikes, address strikes, known pair.
# ARGV: now, address interval and burst, account interval and burst, the pair's free, base, most and leak.
ATTEMPT = (
    _SHARED
    + """
local address_interval, address_burst = tonumber(ARGV[2]), tonumber(ARGV[3])
local account_interval, account_burst = tonumber(ARGV[4]), tonumber(ARGV[5])
local is_known = redis.call('EXISTS', KEYS[5]) == 1
local address, account = number(KEYS[1]), number(KEYS[2])
local span, reason = wait(address, address_interval, address_burst), 'address'
local function consider(other, name) if other > span then span, reason = other, name end end
local _, _, pair_until = strikes(KEYS[3])
consider(pair_until - now, 'pair_locked')
if not is_known then
  consider(wait(account, account_interval, account_burst), 'account')
  local _, _, address_until = strikes(KEYS[4])
  consider(address_until - now, 'address_locked')
end
if span > 0 then return verdict(reason, span, address, address_interval, address_burst) end
if address_burst > 0 then
  address = math.max(address, now) + address_interval
  keep(KEYS[1], address)
end
if account_burst > 0 and not is_known then keep(KEYS[2], math.max(account, now) + account_interval) end
if tonumber(ARGV[6]) > 0 then strike(KEYS[3], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])) end
return verdict('', 0, address, address_interval, address_burst)
"""
)

# KEYS: account bucket, pair strikes, address strikes, known pair.
# ARGV: now, outcome, account interval and burst, the pair's free and leak, how long to know it, the address's free, base, most
# and leak.
SETTLE = (
    _SHARED
    + """
local outcome, account_interval, account_burst = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local is_known = redis.call('EXISTS', KEYS[4]) == 1
if outcome == 'failure' then
  if tonumber(ARGV[8]) > 0 and not is_known then
    strike(KEYS[3], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]))
  end
  return 1
end
if account_burst > 0 and not is_known then keep(KEYS[1], math.max(now, number(KEYS[1]) - account_interval)) end
if outcome == 'success' then
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[4], '1', 'EX', ARGV[7])
else
  local count, at, until_ = strikes(KEYS[2])
  count = math.max(0, leaked(count, at, tonumber(ARGV[6])) - 1)
  if count <= tonumber(ARGV[5]) then until_ = 0 end
  keep_strikes(KEYS[2], count, until_, tonumber(ARGV[6]))
end
return 1
"""
)

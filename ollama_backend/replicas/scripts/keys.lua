-- Keys, clock and lease. Every key begins with KEYS[1], whose hash tag keeps all of them in one cluster slot.
-- The clock is the server's, in milliseconds: the clocks of the replicas may differ.
local P = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local LINES = {'generations', 'embeddings'}
local ops = {}

-- Return a number as text without losing a bit: Redis and cjson would cut it.
local function text(number)
  return string.format('%.17g', number)
end

local function is_alive(replica)
  return redis.call('ZSCORE', P .. 'leases', replica)
end

-- Put a message into the inbox of a replica.
local function send(replica, kind, value)
  redis.call('XADD', P .. 'inbox:' .. replica, 'MAXLEN', '~', 100000, '*', 'kind', kind, 'value', cjson.encode(value))
end

-- Whether Redis was emptied so lately that the replicas may not all have entered what they hold.
local function is_settling()
  local settled = redis.call('GET', P .. 'settled_at')
  return not settled or now < tonumber(settled)
end

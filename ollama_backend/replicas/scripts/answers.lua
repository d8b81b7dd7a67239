-- Answers that every replica can find: the writing replica's memory is the truth, and this is its copy.
--   answer:ID          hash    owner, replica, began, state ("live" or "ended")
--   answer:ID:entries  stream  what was written (replicas/entries.py)
--   answers:REPLICA    set of the live ones
--   answers:ended      zset    end → ID;   answers:sizes  hash  ID → bytes;   answers:bytes  string, their sum
local KEPT_BYTES = 256 * 2 ^ 20
local INTERRUPTED = '{"state":"failed","code":"interrupted"}'

-- Count an ended answer out → its bytes.
local function uncount(id)
  local size = tonumber(redis.call('HGET', P .. 'answers:sizes', id) or 0)
  redis.call('ZREM', P .. 'answers:ended', id)
  redis.call('HDEL', P .. 'answers:sizes', id)
  redis.call('DECRBY', P .. 'answers:bytes', size)
  return size
end

-- Count an ended answer, forget what is too old, and the oldest of what is too much: a full Redis would refuse tickets.
local function count_ended(id, seconds)
  local key = P .. 'answer:' .. id .. ':entries'
  local size = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0)
  if type(size) ~= 'number' then size = redis.call('XLEN', key) * 500 end  -- some hosted servers do not allow it
  redis.call('ZADD', P .. 'answers:ended', now, id)
  redis.call('HSET', P .. 'answers:sizes', id, size)
  local total = redis.call('INCRBY', P .. 'answers:bytes', size)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', P .. 'answers:ended', '-inf', now - seconds * 1000, 'LIMIT', 0, 100)) do
    total = total - uncount(old)
  end
  while total > KEPT_BYTES do
    local oldest = redis.call('ZRANGE', P .. 'answers:ended', 0, 0)[1]
    if not oldest or oldest == id then break end
    total = total - uncount(oldest)
    redis.call('DEL', P .. 'answer:' .. oldest, P .. 'answer:' .. oldest .. ':entries')
  end
end

-- Begin an answer → 1, or 0 where there is one of this name.
function ops.begin_answer(replica, id, owner, began)
  local key = P .. 'answer:' .. id
  if redis.call('HSETNX', key, 'replica', replica) == 0 then return 0 end
  redis.call('HSET', key, 'owner', owner, 'began', began, 'state', 'live')
  redis.call('SADD', P .. 'answers:' .. replica, id)
  return 1
end

-- Begin to mirror an answer anew, from its first delta: Redis or its copy there was lost, or given up by mistake.
function ops.restore_answer(replica, id, owner, began)
  local key = P .. 'answer:' .. id
  redis.call('DEL', key .. ':entries')
  uncount(id)
  redis.call('HSET', key, 'replica', replica, 'owner', owner, 'began', began, 'state', 'live')
  redis.call('PERSIST', key)
  redis.call('SADD', P .. 'answers:' .. replica, id)
end

-- End an answer with its last entry; it can be found for so many seconds → 0 where it is another replica's by now.
function ops.end_answer(replica, id, entry, seconds)
  local key = P .. 'answer:' .. id
  if redis.call('HGET', key, 'replica') ~= replica then return 0 end
  redis.call('SREM', P .. 'answers:' .. replica, id)
  redis.call('HSET', key, 'state', 'ended')
  redis.call('XADD', key .. ':entries', '*', 'entry', entry)
  redis.call('EXPIRE', key, seconds)
  redis.call('EXPIRE', key .. ':entries', seconds)
  count_ended(id, seconds)
  return 1
end

-- Forget an answer that has not begun to be written.
function ops.forget_answer(replica, id)
  redis.call('SREM', P .. 'answers:' .. replica, id)
  redis.call('DEL', P .. 'answer:' .. id, P .. 'answer:' .. id .. ':entries')
end

-- → false, or the writing replica, the owner, its age in milliseconds, whether it is live.
function ops.find_answer(replica, id)
  local key = P .. 'answer:' .. id
  local known = redis.call('HMGET', key, 'replica', 'owner', 'began', 'state')
  if not known[1] then return is_settling() and 'settling' or false end
  return {known[1], known[2], math.floor(now - known[3]), known[4] == 'live' and 1 or 0}
end

-- Send a message to the replica that writes an answer → whether there is one.
function ops.tell_writer(replica, id, kind, reason)
  local writer = redis.call('HGET', P .. 'answer:' .. id, 'replica')
  if not writer or not is_alive(writer) then return 0 end
  send(writer, kind, {id = id, replica = replica, reason = reason})
  return 1
end

local function interrupt_answers(replica, seconds)
  for _, id in ipairs(redis.call('SMEMBERS', P .. 'answers:' .. replica)) do
    ops.end_answer(replica, id, INTERRUPTED, seconds)
  end
  redis.call('DEL', P .. 'answers:' .. replica)
end

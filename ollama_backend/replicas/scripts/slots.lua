-- What is known of the slots of a model on a host: `SlotState` of chat/slots.py, over all replicas. M is "HOST MODEL".
--   slots:M            hash  lost, drain_at, probed, ended (a count), probe (ms; 0 where a departure loses no slot)
--   slots:M:running    hash  replica → running answers
--   slots:M:suspects   zset  until → name
--   slots:of:REPLICA   set of M
--   slots:known        set of M
--   turns              hash  M → replica whose turn it is to look after the slots
--   restarts           hash  host → when it was last seen to have been started again
local RESTART_MS = 10000 -- replicas notice one restart within so long of each other

local function slots_key(model, name)
  return P .. 'slots:' .. model .. (name and ':' .. name or '')
end

local function running_answers(model)
  local sum = 0
  for _, count in ipairs(redis.call('HVALS', slots_key(model, 'running'))) do sum = sum + count end
  return sum
end

local function number_of(model, name)
  return tonumber(redis.call('HGET', slots_key(model), name) or 0)
end

local function suspect(model, milliseconds)
  local name = redis.call('HINCRBY', slots_key(model), 'named', 1)
  redis.call('ZADD', slots_key(model, 'suspects'), now + milliseconds, name)
  redis.call('SADD', P .. 'slots:known', model)
  redis.call('HSET', slots_key(model), 'probed', 0)
end

local function has_turn(replica, model)
  return redis.call('HGET', P .. 'turns', model) == replica
end

local function take(replica, model, probe)
  redis.call('HINCRBY', slots_key(model, 'running'), replica, 1)
  redis.call('HSET', slots_key(model), 'probe', probe)
  redis.call('SADD', P .. 'slots:of:' .. replica, model)
  redis.call('SADD', P .. 'slots:known', model)
  return 1
end

-- → running, lost, whether a probe was answered, milliseconds until draining, how many have ended, and the
-- milliseconds for which each suspect slot is suspect still.
function ops.look(replica, model)
  local seen = {
    running_answers(model), number_of(model, 'lost'), number_of(model, 'probed'),
    math.max(0, number_of(model, 'drain_at') - now), number_of(model, 'ended')
  }
  local suspects = redis.call('ZRANGE', slots_key(model, 'suspects'), 0, -1, 'WITHSCORES')
  for i = 2, #suspects, 2 do seen[#seen + 1] = math.floor(suspects[i] - now) end
  return seen
end

-- Take a slot where nothing is in doubt and nobody has the turn → 1, else 0.
function ops.take_at_once(replica, model, per_model, probe)
  local lost, suspects = number_of(model, 'lost'), redis.call('ZCARD', slots_key(model, 'suspects'))
  local running = running_answers(model)
  local in_doubt = (lost > 0 and running == 0) or (suspects > 0 and number_of(model, 'probed') == 0)
  local is_full = running + lost + suspects >= tonumber(per_model)
  if in_doubt or is_full or redis.call('HEXISTS', P .. 'turns', model) == 1 then return 0 end
  return take(replica, model, probe)
end

-- Take a slot in one's turn. These four → 1, or 0 where the turn was lost.
function ops.take(replica, model, probe)
  return has_turn(replica, model) and take(replica, model, probe) or 0
end

function ops.found_free(replica, model, is_suspect)
  if not has_turn(replica, model) then return 0 end
  redis.call('HSET', slots_key(model), 'probed', 1)
  if is_suspect == '1' then redis.call('ZREMRANGEBYRANK', slots_key(model, 'suspects'), -1, -1) end
  return 1
end

function ops.count_lost(replica, model, lost, drain)
  if not has_turn(replica, model) then return 0 end
  if number_of(model, 'lost') == 0 then redis.call('HSET', slots_key(model), 'drain_at', now + drain) end
  redis.call('HSET', slots_key(model), 'lost', lost)
  redis.call('SADD', P .. 'slots:known', model)
  redis.call('DEL', slots_key(model, 'suspects'))
  return 1
end

function ops.freed(replica, model)
  if not has_turn(replica, model) then return 0 end
  redis.call('HSET', slots_key(model), 'lost', 0)
  redis.call('DEL', slots_key(model, 'suspects'))
  return 1
end

-- End an answer; its slot is suspect for so many milliseconds, -1 for not at all → running, lost.
function ops.end_slot(replica, model, suspect_for)
  if redis.call('HINCRBY', slots_key(model, 'running'), replica, -1) <= 0 then
    redis.call('HDEL', slots_key(model, 'running'), replica)
  end
  if tonumber(suspect_for) >= 0 then suspect(model, suspect_for) end
  redis.call('HINCRBY', slots_key(model), 'ended', 1)
  return {running_answers(model), number_of(model, 'lost')}
end

-- Take the turn → 1, or 0 while it is another's.
function ops.turn(replica, model)
  redis.call('HSETNX', P .. 'turns', model, replica)
  return has_turn(replica, model) and 1 or 0
end

function ops.end_turn(replica, model)
  if has_turn(replica, model) then redis.call('HDEL', P .. 'turns', model) end
end

-- Forget what was in doubt on a host that was started again; the first replica to notice a restart does it for all.
function ops.restarted(replica, host)
  local last = redis.call('HGET', P .. 'restarts', host)
  if last and now - tonumber(last) < RESTART_MS then return end
  redis.call('HSET', P .. 'restarts', host, now)
  for _, model in ipairs(redis.call('SMEMBERS', P .. 'slots:known')) do
    if string.sub(model, 1, #host + 1) == host .. ' ' then
      redis.call('HSET', slots_key(model), 'lost', 0)
      redis.call('DEL', slots_key(model, 'suspects'))
    end
  end
end

-- Suspect one slot of each of these models: Redis was emptied, and with it what was in doubt.
function ops.doubt(replica, milliseconds, ...)
  for _, model in ipairs({...}) do suspect(model, tonumber(milliseconds)) end
end

-- The answers of a replica that is gone have left Ollama in the middle: their slots are suspect.
local function leave_slots(replica)
  for _, model in ipairs(redis.call('SMEMBERS', P .. 'slots:of:' .. replica)) do
    local count = tonumber(redis.call('HGET', slots_key(model, 'running'), replica) or 0)
    local probe = number_of(model, 'probe')
    redis.call('HDEL', slots_key(model, 'running'), replica)
    for _ = 1, probe > 0 and count or 0 do suspect(model, probe) end
    if count > 0 then redis.call('HINCRBY', slots_key(model), 'ended', 1) end
    ops.end_turn(replica, model)
  end
  redis.call('DEL', P .. 'slots:of:' .. replica)
end

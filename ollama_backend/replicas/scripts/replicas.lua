-- Replicas: each renews its lease by `tick`; one whose lease has ended is gone, and what it held is given up.
--   leases         zset  end of the lease → replica
--   inbox:REPLICA  stream of messages
--   leaving        set of replicas that take nothing new
--   epoch          string, another one after Redis was emptied
--   settled_at     string, when all replicas have entered what they hold after that
--   ticked_at      string, when any replica last renewed its lease

local function give_up(replica, kept_seconds)
  redis.call('ZREM', P .. 'leases', replica)
  for _, line in ipairs(LINES) do
    for _, id in ipairs(redis.call('SMEMBERS', P .. line .. ':of:' .. replica)) do drop(line, id) end
  end
  leave_slots(replica)
  interrupt_answers(replica, kept_seconds)
  redis.call('DEL', P .. 'inbox:' .. replica)
  local view = redis.call('HGET', P .. 'views', replica)
  redis.call('HDEL', P .. 'views', replica)
  if view then forget_view(view) end
  redis.call('SREM', P .. 'leaving', replica)
end

-- Renew a lease and give up the replicas whose lease has ended. When nobody has renewed one for so long that any may
-- have ended, it was Redis that could not be reached, and every lease is renewed.
local function renew(replica, lease, gap, kept_seconds)
  local ticked_at = tonumber(redis.call('GET', P .. 'ticked_at') or now)
  redis.call('SET', P .. 'ticked_at', now)
  if now - ticked_at > tonumber(gap) then
    for _, other in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
      redis.call('ZADD', P .. 'leases', now + lease, other)
    end
  end
  redis.call('ZADD', P .. 'leases', now + lease, replica)
  local gone = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now)
  for _, other in ipairs(gone) do give_up(other, kept_seconds) end
end

-- Return "HOST CALLS" for a ticket that has a place, else ''.
local function place_of(line, id)
  local host = redis.call('HGET', P .. line .. ':running', id)
  return host and host .. ' ' .. cjson.decode(redis.call('HGET', P .. line .. ':tickets', id)).calls or ''
end

-- Renew the lease, serve the lines, and look after one's waiting tickets: lease, gap, seconds that answers are kept,
-- then for each line its waiting members, joined by blanks → the epoch, the time, the living replicas joined by blanks, how
-- many wait in each line, and for each ticket its position, "HOST CALLS" where it has a place, or '' where it is unknown.
function ops.tick(replica, lease, gap, kept_seconds, ...)
  renew(replica, lease, gap, kept_seconds)
  local alive = table.concat(redis.call('ZRANGE', P .. 'leases', 0, -1), ' ')
  local waiting, reply = {}, {redis.call('GET', P .. 'epoch'), now, alive, false}
  for number, line in ipairs(LINES) do
    serve(line)
    waiting[number] = redis.call('ZCARD', P .. line .. ':waiting')
    for member in string.gmatch(select(number, ...), '%S+') do
      local rank = redis.call('ZRANK', P .. line .. ':waiting', member)
      reply[#reply + 1] = rank and tostring(rank + 1) or place_of(line, string.sub(member, 18))
    end
  end
  reply[4] = waiting
  return reply
end

-- Enter a ticket as its replica knows it. Where Redis knows better that it was called, say so.
local function restore(replica, line, ticket, calls)
  local key, host = P .. line, ticket.host
  local known = redis.call('HGET', key .. ':tickets', ticket.id)
  local running = redis.call('HGET', key .. ':running', ticket.id)
  if known and running and host == '' then
    calls[#calls + 1] = {line, ticket.id, running, cjson.decode(known).calls}
    return
  end
  if known and host == (running or '') then return end
  if not known then
    redis.call('HINCRBY', key .. ':present', ticket.caller, 1)
    local round = tonumber(redis.call('HGET', key .. ':rounds', ticket.caller) or ticket.order)
    redis.call('HSET', key .. ':rounds', ticket.caller, text(math.max(round, tonumber(ticket.order))))
    local arrivals = tonumber(redis.call('HGET', key .. ':state', 'arrivals') or 0)
    redis.call('HSET', key .. ':state', 'arrivals', math.max(arrivals, ticket.arrival))
    redis.call('SADD', key .. ':of:' .. replica, ticket.id)
  end
  ticket.host, ticket.replica = nil, replica
  redis.call('HSET', key .. ':tickets', ticket.id, cjson.encode(ticket))
  if host == '' then
    redis.call('ZADD', key .. ':waiting', ticket.order, member_of(ticket))
    return
  end
  redis.call('ZREM', key .. ':waiting', member_of(ticket))
  if running then count_busy(line, running, -1) end
  redis.call('HSET', key .. ':running', ticket.id, host)
  count_busy(line, host, 1)
  local round = tonumber(redis.call('HGET', key .. ':state', 'round') or 0)
  redis.call('HSET', key .. ':state', 'round', text(math.max(round, tonumber(ticket.order))))
end

-- Enter all that this replica holds, and nothing else of it: lease, gap, seconds that answers are kept, a new epoch,
-- milliseconds until it counts as settled, and JSON → the epoch, the time, JSON of the tickets that have been called
-- meanwhile, and of the answers that were given up.
function ops.sync(replica, lease, gap, kept_seconds, epoch, settle, held)
  held = cjson.decode(held)
  if redis.call('SET', P .. 'epoch', epoch, 'NX') then redis.call('SET', P .. 'settled_at', now + settle) end
  renew(replica, lease, gap, kept_seconds)
  publish(replica, held.view)
  local calls = {}
  for _, line in ipairs(LINES) do
    local stale = {}
    for _, id in ipairs(redis.call('SMEMBERS', P .. line .. ':of:' .. replica)) do stale[id] = true end
    for _, ticket in ipairs(held[line] or {}) do
      stale[ticket.id] = nil
      restore(replica, line, ticket, calls)
    end
    for id in pairs(stale) do drop(line, id) end
  end
  for _, model in ipairs(redis.call('SMEMBERS', P .. 'slots:of:' .. replica)) do
    redis.call('HDEL', slots_key(model, 'running'), replica)
  end
  for model, count in pairs(held.slots or {}) do
    redis.call('HSET', slots_key(model, 'running'), replica, count)
    redis.call('SADD', P .. 'slots:of:' .. replica, model)
    redis.call('SADD', P .. 'slots:known', model)
  end
  local ended = {}
  for _, id in ipairs(held.answers or {}) do
    if redis.call('HGET', P .. 'answer:' .. id, 'state') ~= 'live' then ended[#ended + 1] = id end
  end
  for _, line in ipairs(LINES) do serve(line) end
  return {redis.call('GET', P .. 'epoch'), now, cjson.encode(calls), cjson.encode(ended)}
end

-- Take nothing new from now on.
function ops.leaving(replica)
  redis.call('SADD', P .. 'leaving', replica)
end

-- Give a waiting answer to another replica, with its ticket in its old order ('' for none) → whether there is one.
function ops.hand_over(replica, id, ticket_id, adoption)
  local others = {}
  for _, other in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
    if redis.call('SISMEMBER', P .. 'leaving', other) == 0 then others[#others + 1] = other end
  end
  local known = ticket_id ~= '' and redis.call('HGET', P .. 'generations:tickets', ticket_id)
  if #others == 0 or (ticket_id ~= '' and (not known or redis.call('HGET', P .. 'generations:running', ticket_id))) then
    return 0
  end
  local heir = others[math.fmod(redis.call('INCR', P .. 'heirs'), #others) + 1]
  if known then
    local ticket = cjson.decode(known)
    ticket.replica = heir
    redis.call('HSET', P .. 'generations:tickets', ticket_id, cjson.encode(ticket))
    redis.call('SREM', P .. 'generations:of:' .. replica, ticket_id)
    redis.call('SADD', P .. 'generations:of:' .. heir, ticket_id)
    adoption = cjson.encode({adoption = adoption, ticket = ticket})
  else
    adoption = cjson.encode({adoption = adoption})
  end
  redis.call('HSET', P .. 'answer:' .. id, 'replica', heir)
  redis.call('SREM', P .. 'answers:' .. replica, id)
  redis.call('SADD', P .. 'answers:' .. heir, id)
  redis.call('XADD', P .. 'inbox:' .. heir, '*', 'kind', 'adopt', 'value', adoption)
  return 1
end

-- Be gone at once.
function ops.bye(replica, kept_seconds)
  give_up(replica, kept_seconds)
  for _, line in ipairs(LINES) do serve(line) end
end

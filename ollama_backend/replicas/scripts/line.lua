-- The line: `MemoryLine` of chat/line.py, step by step, over all replicas.
--   LINE:waiting   zset  round → "%016d:TICKET"; equal rounds stay in the order of arrival
--   LINE:running   hash  ticket → host
--   LINE:tickets   hash  ticket → JSON
--   LINE:busy      hash  host → running requests
--   LINE:rounds, LINE:present   hash  caller → last round, caller → tickets
--   LINE:state     hash  round, arrivals
--   LINE:of:REPLICA   set of tickets
--   views          hash  replica → name of its view of the hosts; most have the same one
--   view_texts     hash  name → JSON, the hosts
--   rests          hash  host that has failed → "END SECONDS": when its rest is over, and how long that was
--   served:CONVERSATION   string, the host that served it last
local LOOK_AHEAD = 16
local FIRST_REST, MAX_REST = 5, 60
local SERVED_SECONDS = 600
local views, busy_hosts, rests = {}, {}, nil

-- Return the hosts as a replica sees them, and the name of this view.
local function view_of(replica)
  local name = redis.call('HGET', P .. 'views', replica) or ''
  if not views[name] then
    local view = redis.call('HGET', P .. 'view_texts', name)
    views[name] = view and cjson.decode(view) or {}
  end
  return views[name], name
end

local function forget_view(name)
  for _, other in ipairs(redis.call('HVALS', P .. 'views')) do
    if other == name then return end
  end
  redis.call('HDEL', P .. 'view_texts', name)
end

local function publish(replica, view)
  local name, before = redis.sha1hex(view), redis.call('HGET', P .. 'views', replica)
  redis.call('HSET', P .. 'views', replica, name)
  redis.call('HSET', P .. 'view_texts', name, view)
  if before and before ~= name then forget_view(before) end
end

local function busy(line)
  if not busy_hosts[line] then
    local counts, flat = {}, redis.call('HGETALL', P .. line .. ':busy')
    for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
    busy_hosts[line] = counts
  end
  return busy_hosts[line]
end

local function count_busy(line, host, by)
  local counts = busy(line)
  counts[host] = (counts[host] or 0) + by
  redis.call('HINCRBY', P .. line .. ':busy', host, by)
end

local function is_resting(host)
  if not rests then
    rests = {}
    local flat = redis.call('HGETALL', P .. 'rests')
    for i = 1, #flat, 2 do rests[flat[i]] = now < tonumber(string.match(flat[i + 1], '^%d+')) end
  end
  return rests[host]
end

-- Let a host rest: 5 seconds after the first failure, up to 60 after failures in a row.
local function begin_rest(host)
  local before = redis.call('HGET', P .. 'rests', host)
  local last = before and tonumber(string.match(before, '%d+$')) or 0
  local seconds = last == 0 and FIRST_REST or math.min(MAX_REST, last * 2)
  redis.call('HSET', P .. 'rests', host, string.format('%d %d', now + seconds * 1000, seconds))
  rests = nil
end

-- Return a free host of these for a ticket, nil for none (ollama/hosts.py, choose_host).
local function choose(line, ticket, hosts)
  local counts = busy(line)
  local having, able = {}, {}
  for _, host in ipairs(hosts) do
    if host.models[ticket.model] ~= nil then
      having[#having + 1] = host
      if not is_resting(host.id) then able[#able + 1] = host end
    end
  end
  if #able == 0 then able = #having > 0 and having or hosts end
  local last = #able > 1 and ticket.conversation ~= '' and redis.call('GET', P .. 'served:' .. ticket.conversation)
  local best, best_rank
  for _, host in ipairs(able) do
    local running = counts[host.id] or 0
    if running < host.places then
      local rank = {host.models[ticket.model] and 0 or 1, host.id == last and 0 or 1, running / host.places}
      for i = 1, 3 do
        if not best or rank[i] < best_rank[i] then best, best_rank = host, rank break end
        if rank[i] > best_rank[i] then break end
      end
    end
  end
  return best and best.id
end

-- Give a waiting ticket its place.
local function call(line, member, score, ticket, host, entering)
  redis.call('ZREM', P .. line .. ':waiting', member)
  local state = P .. line .. ':state'
  local round = tonumber(redis.call('HGET', state, 'round') or 0)
  redis.call('HSET', state, 'round', text(math.max(round, tonumber(score))))
  redis.call('HSET', P .. line .. ':running', ticket.id, host)
  count_busy(line, host, 1)
  ticket.calls = ticket.calls + 1
  redis.call('HSET', P .. line .. ':tickets', ticket.id, cjson.encode(ticket))
  if ticket.id ~= entering then
    send(ticket.replica, 'call', {line = line, ticket = ticket.id, host = host, calls = ticket.calls})
  end
end

-- Return the first waiting ticket that has a free host, with its member, its score and the host.
local function servable(line)
  local flat = redis.call('ZRANGE', P .. line .. ':waiting', 0, LOOK_AHEAD - 1, 'WITHSCORES')
  local full = {}
  for i = 1, #flat, 2 do
    local ticket = cjson.decode(redis.call('HGET', P .. line .. ':tickets', string.sub(flat[i], 18)))
    local hosts, name = view_of(ticket.replica)
    local kind = name .. ' ' .. ticket.model
    local host = not full[kind] and choose(line, ticket, hosts)
    if host then return ticket, flat[i], flat[i + 1], host end
    full[kind] = true
  end
end

-- Give free places to the tickets whose turn it is. The replica of `entering` gets no message: it is waiting for this.
local function serve(line, entering)
  if is_settling() then return end
  local ticket, member, score, host = servable(line)
  while ticket do
    call(line, member, score, ticket, host, entering)
    ticket, member, score, host = servable(line)
  end
end

local function forget(line, caller)
  if redis.call('HINCRBY', P .. line .. ':present', caller, -1) <= 0 then
    redis.call('HDEL', P .. line .. ':present', caller)
    redis.call('HDEL', P .. line .. ':rounds', caller)
  end
end

local function member_of(ticket)
  return string.format('%016d:%s', ticket.arrival, ticket.id)
end

-- Take a ticket out → the host on which it ran, and its conversation. Serving is up to the caller.
local function drop(line, id)
  local known = redis.call('HGET', P .. line .. ':tickets', id)
  if not known then return end
  local ticket = cjson.decode(known)
  local host = redis.call('HGET', P .. line .. ':running', id)
  if host then
    redis.call('HDEL', P .. line .. ':running', id)
    count_busy(line, host, -1)
    local round = tonumber(redis.call('HGET', P .. line .. ':state', 'round') or 0)
    round = round + 1 / redis.call('HLEN', P .. line .. ':present')
    redis.call('HSET', P .. line .. ':state', 'round', text(round))
  else
    redis.call('ZREM', P .. line .. ':waiting', member_of(ticket))
  end
  redis.call('HDEL', P .. line .. ':tickets', id)
  redis.call('SREM', P .. line .. ':of:' .. ticket.replica, id)
  forget(line, ticket.caller)
  return host, ticket.conversation
end

-- Enter: line, ticket, caller, model, conversation, most that may wait
-- → 'full' and how many wait, or 'in', the order, the arrival, the host or '', the calls, and the position.
function ops.enter(replica, line, id, caller, model, conversation, most)
  local state, waiting = P .. line .. ':state', P .. line .. ':waiting'
  local arrival = redis.call('HINCRBY', state, 'arrivals', 1)
  local before = redis.call('HGET', P .. line .. ':rounds', caller)
  local round = tonumber(redis.call('HGET', state, 'round') or 0)
  local order = text(math.max(round, (before and tonumber(before) or -1) + 1))
  local ticket = {
    id = id, replica = replica, caller = caller, model = model, conversation = conversation, order = order,
    arrival = arrival, calls = 0
  }
  redis.call('HSET', P .. line .. ':tickets', id, cjson.encode(ticket))
  redis.call('SADD', P .. line .. ':of:' .. replica, id)
  redis.call('ZADD', waiting, order, member_of(ticket))
  redis.call('HINCRBY', P .. line .. ':present', caller, 1)
  redis.call('HSET', P .. line .. ':rounds', caller, order)
  serve(line, id)
  local host = redis.call('HGET', P .. line .. ':running', id)
  if not host and redis.call('ZCARD', waiting) > tonumber(most) then
    drop(line, id)
    if before then redis.call('HSET', P .. line .. ':rounds', caller, before) end
    return {'full', redis.call('ZCARD', waiting)}
  end
  local position = host and 0 or redis.call('ZRANK', waiting, member_of(ticket)) + 1
  return {'in', order, arrival, host or '', host and 1 or 0, position}
end

-- Leave: line, ticket, whether the host has served it well.
function ops.leave(replica, line, id, worked)
  local host, conversation = drop(line, id)
  if host and worked == '1' then
    redis.call('HDEL', P .. 'rests', host)
    rests = nil
    if conversation ~= '' then redis.call('SET', P .. 'served:' .. conversation, host, 'EX', SERVED_SECONDS) end
  end
  serve(line)
end

-- Send a running ticket back after a failure of its host, which rests → the new host or '', and the calls.
function ops.send_back(replica, line, id)
  local host = redis.call('HGET', P .. line .. ':running', id)
  if not host then return {'', 0} end
  local ticket = cjson.decode(redis.call('HGET', P .. line .. ':tickets', id))
  redis.call('HDEL', P .. line .. ':running', id)
  count_busy(line, host, -1)
  begin_rest(host)
  redis.call('ZADD', P .. line .. ':waiting', ticket.order, member_of(ticket))
  serve(line, id)
  host = redis.call('HGET', P .. line .. ':running', id)
  return {host or '', host and ticket.calls + 1 or 0}
end

-- Publish how this replica sees the hosts.
function ops.view(replica, view)
  publish(replica, view)
  for _, line in ipairs(LINES) do serve(line) end
end

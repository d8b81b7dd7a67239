-- Realtime sessions: the replica that has the socket writes, and a newer socket on another one takes over.
--   session:KEY   hash  holder ("REPLICA TOKEN"), saved (replicas/shared_sessions.py)

-- Open a session → the holder before, or '', and what was saved, or ''.
function ops.open_session(replica, key, token, seconds)
  local name = P .. 'session:' .. key
  local known = redis.call('HMGET', name, 'holder', 'saved')
  local before = known[1] and string.match(known[1], '^%S+') or ''
  if before ~= '' and before ~= replica and is_alive(before) then
    send(before, 'replaced', {session = key, token = string.match(known[1], '%S+$')})
  end
  redis.call('HSET', name, 'holder', replica .. ' ' .. token)
  redis.call('EXPIRE', name, seconds)
  return {before, known[2] or ''}
end

-- Save a session → 0 where another replica has it by now. After Redis was emptied nobody has it.
function ops.save_session(replica, key, token, seconds, saved)
  local name = P .. 'session:' .. key
  local holder = redis.call('HGET', name, 'holder')
  if holder and holder ~= replica .. ' ' .. token then return 0 end
  redis.call('HSET', name, 'holder', replica .. ' ' .. token, 'saved', saved)
  redis.call('EXPIRE', name, seconds)
  return 1
end

-- The rate limit: a moving window of the moments of the last generations of each caller.
--   rate:CALLER   list of milliseconds, the newest first

-- Count a generation → 0, or the milliseconds until one is allowed.
function ops.count(replica, caller, amount, window)
  local key = P .. 'rate:' .. caller
  local oldest = redis.call('LINDEX', key, amount - 1)
  if oldest and now - oldest < tonumber(window) then return math.ceil(oldest + window - now) end
  redis.call('LPUSH', key, now)
  redis.call('LTRIM', key, 0, amount - 1)
  redis.call('PEXPIRE', key, window)
  return 0
end

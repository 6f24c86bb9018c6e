-- Keeps the archive within asynq's limits: 10 000 entries, 90 days.
-- Part of other scripts. The work of one call is bounded: the rest is deleted with the next archived task.

local function trim_archive(archived_key, task_prefix, now)
  local old = redis.call('ZRANGEBYSCORE', archived_key, '-inf', score(now - 7776000), 'LIMIT', 0, 500)
  if #old == 0 then
    local excess = redis.call('ZCARD', archived_key) - 10000
    if excess > 0 then
      old = redis.call('ZRANGE', archived_key, 0, math.min(excess, 500) - 1)
    end
  end
  if #old > 0 then
    local keys = {}
    for n, id in ipairs(old) do
      keys[n] = task_prefix .. id
    end
    redis.call('DEL', unpack(keys))
    redis.call('ZREM', archived_key, unpack(old))
  end
end

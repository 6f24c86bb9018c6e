-- Returns the counts of one queue at one point in time.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:active
-- KEYS[3] <prefix>:{<queue>}:scheduled
-- KEYS[4] <prefix>:{<queue>}:retry
-- KEYS[5] <prefix>:{<queue>}:archived
-- KEYS[6] <prefix>:{<queue>}:completed
-- KEYS[7] <prefix>:{<queue>}:processed
-- KEYS[8] <prefix>:{<queue>}:failed
-- KEYS[9] <prefix>:{<queue>}:paused
-- KEYS[10] <prefix>:{<queue>}:taskseal:trimmed
-- ARGV[1] <prefix>:{<queue>}:
-- Returns {pending, active, scheduled, retry, archived, completed, processed, failed, paused, trimmed,
--   aggregating, ms that the oldest pending task has waited or -1}

local now = clock()
local oldest = -1
-- A requeued task has no time: skip a few of them.
local next_out = redis.call('LRANGE', KEYS[1], -16, -1)
for n = #next_out, 1, -1 do
  local since = redis.pcall('HGET', ARGV[1] .. 't:' .. next_out[n], 'pending_since')
  since = type(since) == 'string' and tonumber(since)
  if since and since > 0 then
    oldest = math.max(math.floor(now * 1000 - since / 1000000), 0)
    break
  end
end
local aggregating = 0
for _, key in ipairs(groups(ARGV[1])) do
  aggregating = aggregating + group_size(key)
end
return {
  redis.call('LLEN', KEYS[1]),
  redis.call('LLEN', KEYS[2]),
  redis.call('ZCARD', KEYS[3]),
  redis.call('ZCARD', KEYS[4]),
  redis.call('ZCARD', KEYS[5]),
  redis.call('ZCARD', KEYS[6]),
  bounded(redis.call('GET', KEYS[7]), 32),
  bounded(redis.call('GET', KEYS[8]), 32),
  redis.call('EXISTS', KEYS[9]),
  bounded(redis.call('GET', KEYS[10]), 32),
  aggregating,
  oldest,
}

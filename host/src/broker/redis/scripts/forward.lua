-- Moves due tasks to the pending list.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:scheduled, or :retry
-- KEYS[3] the other of the two
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] maximum number of tasks
-- Returns {moved, taken}: taken also counts ids without a task
--
-- A task of an aggregation group of asynq returns to its group.

local prefix = ARGV[1]
local limit = tonumber(ARGV[4])
local now, time = clock()
local now_ns = nanoseconds(time)
local ready, moved, taken = {}, 0, 0

redis.call('LLEN', KEYS[1])
for source = 2, 3 do
  local due = {}
  if limit > taken then
    due = redis.call('ZRANGEBYSCORE', KEYS[source], '-inf', string.format('%.6f', now), 'LIMIT', 0, limit - taken)
  end
  if #due > 0 then
    redis.call('ZREM', KEYS[source], unpack(due))
  end
  for _, id in ipairs(due) do
    local key = prefix .. 't:' .. id
    local task = redis.pcall('HMGET', key, 'state', 'group')
    taken = taken + 1
    if task[1] then
      moved = moved + 1
      if task[2] and task[2] ~= '' then
        redis.call('HSET', key, 'state', 'aggregating')
        redis.call('ZADD', prefix .. 'g:' .. task[2], math.floor(now), id)
        redis.call('SADD', prefix .. 'groups', task[2])
      else
        ready[#ready + 1] = id
        redis.call('HSET', key, 'state', 'pending', 'pending_since', now_ns)
      end
    end
  end
end

if #ready > 0 and redis.call('LPUSH', KEYS[1], unpack(ready)) == #ready then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return { moved, taken }

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
-- A task of an aggregation group of asynq is moved to pending as well: in its group it would be merged with others into
-- one task without a seal. Ids leave their set last: if a command before is refused, the next call finds them.

local prefix = ARGV[1]
local limit = tonumber(ARGV[4])
local now, time = clock()
local now_ns = nanoseconds(time)
local ready, moved, taken, leaving = {}, 0, 0, {}

redis.call('LLEN', KEYS[1])
for source = 2, 3 do
  local due = {}
  if limit > taken then
    due = redis.call('ZRANGEBYSCORE', KEYS[source], '-inf', string.format('%.6f', now), 'LIMIT', 0, limit - taken)
  end
  -- Changes nothing, and lets the script go on if memory is full.
  redis.call('ZREM', KEYS[source], '')
  for _, id in ipairs(due) do
    local key = prefix .. 't:' .. id
    local task = redis.pcall('HMGET', key, 'state')
    raise_unless_wrong_type(task)
    taken = taken + 1
    if task[1] then
      moved = moved + 1
      ready[#ready + 1] = id
      redis.call('HSET', key, 'state', 'pending', 'pending_since', now_ns)
    end
  end
  leaving[source] = due
end

local was_empty = #ready > 0 and redis.call('LPUSH', KEYS[1], unpack(ready)) == #ready
for source = 2, 3 do
  if #leaving[source] > 0 then
    redis.call('ZREM', KEYS[source], unpack(leaving[source]))
  end
end
if was_empty then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return { moved, taken }

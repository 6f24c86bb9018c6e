-- Stores one task unless another one holds its uniqueness lock.
--
-- KEYS[1] <prefix>:{<queue>}:unique:<type>:<digest>
-- KEYS[2] <prefix>:{<queue>}:t:<id>
-- KEYS[3] <prefix>:{<queue>}:pending
-- KEYS[4] <prefix>:{<queue>}:scheduled
-- ARGV[1] id
-- ARGV[2] message
-- ARGV[3] Unix ms from which it is pending (0: now)
-- ARGV[4] maximum duration of the lock after that, in ms
-- ARGV[5] wake-up channel
-- ARGV[6] queue
-- ARGV[7] <prefix>:queues
-- Returns 1 stored; 0 the id is taken by a key that is not a task; {message} already stored under the id; or the id
--   that holds the lock.
--
-- The id is checked before the lock is taken, so that an id already taken leaves no lock behind.

local now, time = clock()
-- As in enqueue.lua.
redis.pcall('SADD', ARGV[7], ARGV[6])
local stored = redis.pcall('HGET', KEYS[2], 'msg')
if stored then
  raise_unless_wrong_type(stored)
  local other = type(stored) == 'table' or #stored > #ARGV[2] + max_growth
  return other and 0 or { stored }
end
local process_at = ARGV[3] / 1000
local wait = math.max(process_at - now, 0)
-- asynq counts locks in whole seconds: rounded up, so that a lock never ends early.
local ttl = math.max(math.ceil(wait + ARGV[4] / 1000), 1)
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', string.format('%.0f', ttl)) then
  local holder = redis.call('GET', KEYS[1])
  if holder ~= ARGV[1] then
    return shown(holder)
  end
end
if wait > 0 then
  redis.call('ZADD', KEYS[4], score(process_at), ARGV[1])
  redis.call('HSET', KEYS[2], 'msg', ARGV[2], 'state', 'scheduled', 'unique_key', KEYS[1])
else
  local length = redis.call('LPUSH', KEYS[3], ARGV[1])
  redis.call('HSET', KEYS[2], 'msg', ARGV[2], 'state', 'pending', 'pending_since', nanoseconds(time), 'unique_key', KEYS[1])
  if length == 1 then
    redis.pcall('PUBLISH', ARGV[5], ARGV[6])
  end
end
return 1

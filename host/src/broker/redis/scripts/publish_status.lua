-- Stores the status of a process, and deletes those whose time has passed.
--
-- KEYS[1] <prefix>:{taskseal}:processes, hash of statuses by process
-- KEYS[2] <prefix>:{taskseal}:processes:until, sorted set of processes by the end of their status
-- ARGV[1] process
-- ARGV[2] status
-- ARGV[3] how long the status is kept, in seconds; 0 deletes it
-- ARGV[4] most statuses to delete
-- Returns 1

local now = clock()
local keep = tonumber(ARGV[3])
if keep > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[2], score(now + keep), ARGV[1])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. score(now), 'LIMIT', 0, ARGV[4])) do
  redis.call('HDEL', KEYS[1], process)
  redis.call('ZREM', KEYS[2], process)
end
return 1

-- Returns the statuses whose time has not passed.
--
-- KEYS[1] <prefix>:{taskseal}:processes, hash of statuses by process
-- KEYS[2] <prefix>:{taskseal}:processes:until, sorted set of processes by the end of their status
-- ARGV[1] most statuses to return
-- ARGV[2] longest status to return, in bytes
-- Returns an array of statuses

local now = clock()
local statuses = {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], score(now), '+inf', 'LIMIT', 0, ARGV[1])) do
  local status = redis.call('HGET', KEYS[1], process)
  if status and #status <= tonumber(ARGV[2]) then
    statuses[#statuses + 1] = status
  end
end
return statuses

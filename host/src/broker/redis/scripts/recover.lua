-- Recovers tasks whose worker was lost.
--
-- KEYS[1] <prefix>:{<queue>}:lease
-- KEYS[2] <prefix>:{<queue>}:active
-- KEYS[3] <prefix>:{<queue>}:pending
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] maximum number of tasks
-- ARGV[5] grace in seconds for leases that are not ours: workers of other makes use their own clock
-- Returns {{id, ...} pending again, {id, ...} dropped}
--
-- Messages are not decoded here, so that no message can prevent the recovery of others.

local prefix = ARGV[1]
local limit = tonumber(ARGV[4])
local now, time = clock()
local now_ns = nanoseconds(time)

-- A key of another type fails here, before anything is written.
redis.call('LLEN', KEYS[2])
redis.call('LLEN', KEYS[3])
-- Leases of other makes within their grace may be listed between ours: read more than the limit.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now), 'WITHSCORES', 'LIMIT', 0, limit + 1000)

local requeued, dropped, finished = {}, {}, {}
for at = 1, #due, 2 do
  if #finished >= limit then
    break
  end
  local id, lease_score = due[at], due[at + 1]
  local key = prefix .. 't:' .. id
  local task = redis.pcall('HMGET', key, 'state', 'taskseal_lease')
  raise_unless_wrong_type(task)
  local expiry = expiry_of_ours(task[2], lease_score)
  if (expiry and expiry <= now * 1000) or (not expiry and tonumber(lease_score) <= now - ARGV[5]) then
    finished[#finished + 1] = id
    redis.call('LREM', KEYS[2], -1, id)
    if #id > max_id or task.err or redis.call('HEXISTS', key, 'msg') == 0 then
      dropped[#dropped + 1] = shown(id)
      if #id <= max_id and not task.err then
        redis.call('DEL', key)
      end
    elseif is_listed(prefix, task[1], id) or (task[1] == 'pending' and redis.call('LPOS', KEYS[3], id)) then
      -- Not active: only the lease was left over.
      redis.call('HDEL', key, 'taskseal_lease')
    else
      redis.call('HDEL', key, 'taskseal_lease')
      -- The task whose lease expired first must be leased next, and that is the last one pushed.
      table.insert(requeued, 1, id)
      redis.call('HSET', key, 'state', 'pending', 'pending_since', now_ns)
    end
  end
end

local was_empty = #requeued > 0 and redis.call('RPUSH', KEYS[3], unpack(requeued)) == #requeued
-- Last: if a command before is refused (for instance by an ACL), the next call finds the ids.
if #finished > 0 then
  redis.call('ZREM', KEYS[1], unpack(finished))
end
if was_empty then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return { requeued, dropped }

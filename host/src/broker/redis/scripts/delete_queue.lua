-- Deletes a queue with its tasks, in bounded steps: the caller repeats the call until nothing is left.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:active
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] 1 if the queue may have tasks
-- ARGV[3] maximum number of tasks to delete
-- Returns {number of active tasks, number of other tasks, number deleted, 1 if there may be groups that it did not see};
--   without deleted tasks nothing was changed but names of empty groups

local prefix, limit = ARGV[1], tonumber(ARGV[3])
local active = redis.call('LLEN', KEYS[2])
local sets = { prefix .. 'scheduled', prefix .. 'retry', prefix .. 'archived', prefix .. 'completed' }
local count = redis.call('LLEN', KEYS[1])
local found, complete = groups(prefix)
for _, key in ipairs(found) do
  if group_size(key) > 0 then
    sets[#sets + 1] = key
  end
end
for _, set in ipairs(sets) do
  count = count + redis.call('ZCARD', set)
end
if active > 0 or (count > 0 and ARGV[2] ~= '1') then
  return { active, count, 0, 0 }
end
local deleted, space = 0, prefix .. 'unique:'
local function drop(ids)
  for _, id in ipairs(ids) do
    local key = prefix .. 't:' .. id
    -- Releases a lock only within the key space of this queue, whatever the hash contains.
    local lock = redis.pcall('HGET', key, 'unique_key')
    if type(lock) == 'string' and string.sub(lock, 1, #space) == space and redis.pcall('GET', lock) == id then
      redis.call('DEL', lock)
    end
    redis.call('DEL', key)
  end
  deleted = deleted + #ids
end
local pending = redis.call('LRANGE', KEYS[1], -limit, -1)
drop(pending)
if #pending > 0 then
  redis.call('LTRIM', KEYS[1], 0, -#pending - 1)
end
for _, set in ipairs(sets) do
  if deleted < limit then
    local ids = redis.call('ZRANGE', set, 0, limit - deleted - 1)
    if #ids > 0 then
      drop(ids)
      redis.call('ZREM', set, unpack(ids))
    end
  end
end
if deleted == count and complete then
  redis.call('DEL', prefix .. 'lease', prefix .. 'paused', prefix .. 'processed', prefix .. 'failed',
    prefix .. 'taskseal:trimmed', prefix .. 'groups')
elseif deleted == count then
  -- These groups are empty now. Without their names, the next call sees others.
  for _, key in ipairs(found) do
    redis.call('SREM', prefix .. 'groups', string.sub(key, #prefix + 3))
  end
  return { active, count, deleted, 1 }
end
return { active, count, deleted, 0 }

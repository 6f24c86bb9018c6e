-- Runs, archives or deletes tasks that no worker holds.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:archived
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] run, archive or delete
-- ARGV[5] and on: ids
-- Returns two values for each id: its state, nil if there is no task; and 1 if it was changed, otherwise 0
--
-- Only what a list or set contains is moved: the state in the hash of a task is not trusted to say where it is.

local prefix, kind = ARGV[1], ARGV[4]
local now, time = clock()
local allowed = {
  run = { scheduled = true, retry = true, archived = true, aggregating = true },
  archive = { pending = true, scheduled = true, retry = true, aggregating = true },
  delete = { pending = true, scheduled = true, retry = true, archived = true, completed = true, aggregating = true },
}
-- A key of another type fails here, before anything is written.
redis.call('LLEN', KEYS[1])
for _, state in ipairs({ 'scheduled', 'retry', 'archived', 'completed' }) do
  redis.call('ZCARD', prefix .. state)
end

local function holds(state, id)
  if state == 'pending' then
    return redis.call('LPOS', KEYS[1], id)
  elseif state == 'aggregating' then
    return grouped_since(prefix, prefix .. 't:' .. id, id)
  end
  return redis.call('ZSCORE', prefix .. state, id)
end

-- Called last: if a command before it is not permitted, the task is still where it was.
local function remove(state, id, group)
  if state == 'pending' then
    redis.call('LREM', KEYS[1], 0, id)
  elseif state == 'aggregating' then
    redis.call('ZREM', group, id)
  else
    redis.call('ZREM', prefix .. state, id)
  end
end

-- Releases a lock only within the key space of this queue, whatever the hash contains.
local function unlock(key, id)
  local lock, space = redis.call('HGET', key, 'unique_key'), prefix .. 'unique:'
  if lock and string.sub(lock, 1, #space) == space and redis.pcall('GET', lock) == id then
    redis.call('DEL', lock)
  end
end

local replies, run = {}, 0
for at = 5, #ARGV do
  local id = ARGV[at]
  local key = prefix .. 't:' .. id
  local state = redis.pcall('HGET', key, 'state')
  raise_unless_wrong_type(state)
  local group = state == 'aggregating' and group_of(prefix, key)
  local changed = type(state) == 'string' and allowed[kind][state] and holds(state, id)
  if changed and kind == 'run' then
    redis.call('HSET', key, 'state', 'pending', 'pending_since', nanoseconds(time))
    redis.call('LPUSH', KEYS[1], id)
    run = run + 1
  elseif changed and kind == 'archive' then
    redis.call('HDEL', key, 'pending_since')
    redis.call('HSET', key, 'state', 'archived')
    redis.call('ZADD', KEYS[2], score(now), id)
  elseif changed then
    unlock(key, id)
    redis.call('DEL', key)
  end
  if changed then
    remove(state, id, group)
  end
  replies[#replies + 1] = type(state) == 'string' and string.sub(state, 1, 16)
  replies[#replies + 1] = changed and 1 or 0
end
if run > 0 then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return replies

-- Ends leases. A lease that is not held by the token given is left alone.
--
-- KEYS[1] <prefix>:{<queue>}:active
-- KEYS[2] <prefix>:{<queue>}:lease
-- KEYS[3] <prefix>:{<queue>}:pending
-- KEYS[4] <prefix>:{<queue>}:retry
-- KEYS[5] <prefix>:{<queue>}:archived
-- KEYS[6] <prefix>:{<queue>}:completed
-- KEYS[7] <prefix>:{<queue>}:processed
-- KEYS[8] <prefix>:{<queue>}:failed
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] and on, one of these a lease:
--   done, id, token
--   complete, id, token, message, retention in ms, result
--   retry, id, token, message, unix ms, 1 if it counts as a failure
--   archive, id, token, message
--   corrupt, id, token (archived, its message kept as it is)
--   requeue, id, token
-- Returns one a lease: 1 ended, 0 not held by this token
--
-- What frees memory comes first: once a script has written, Redis lets it finish even when memory is full.

local extra = { done = 0, complete = 3, retry = 3, archive = 1, corrupt = 0, requeue = 0 }
local places = { complete = KEYS[6], retry = KEYS[4], archive = KEYS[5], corrupt = KEYS[5], requeue = KEYS[3] }

local prefix = ARGV[1]
local now = clock()
local ends, ids = {}, {}
local at = 4
while ARGV[at] do
  ids[#ids + 1] = ARGV[at + 1]
  ends[#ends + 1] = at
  at = at + 3 + extra[ARGV[at]]
end

-- A key of another type fails here, before anything is written.
redis.call('LLEN', KEYS[1])
local scores = redis.call('ZMSCORE', KEYS[2], unpack(ids))
local checked = {}
for _, from in ipairs(ends) do
  local place = places[ARGV[from]]
  if place and not checked[place] then
    checked[place] = true
    redis.call(place == KEYS[3] and 'LLEN' or 'ZCARD', place)
  end
end

local replies, ended, finished, gone, requeued = {}, {}, {}, {}, {}
local zadds = {}
local processed, failed = 0, 0

local function list(place, value, id)
  local zadd = zadds[place] or { 'ZADD', place }
  zadds[place] = zadd
  zadd[#zadd + 1] = score(value)
  zadd[#zadd + 1] = id
end

-- Only a lock in this queue's own name space is touched, whatever the hash says.
local function unlock(lock, id)
  local space = prefix .. 'unique:'
  if lock and string.sub(lock, 1, #space) == space and redis.pcall('GET', lock) == id then
    redis.call('DEL', lock)
  end
end

for n, from in ipairs(ends) do
  local kind, id, token = ARGV[from], ARGV[from + 1], ARGV[from + 2]
  local key = prefix .. 't:' .. id
  local task = redis.pcall('HMGET', key, 'taskseal_lease', 'unique_key')
  if ended[id] or not is_held_by(token, task[1], scores[n]) then
    replies[n] = 0
  else
    replies[n] = 1
    ended[id] = true
    finished[#finished + 1] = id
    redis.call('LREM', KEYS[1], -1, id)
    if kind == 'done' then
      gone[#gone + 1] = key
      unlock(task[2], id)
      processed = processed + 1
    else
      redis.call('HDEL', key, 'taskseal_lease')
      if kind == 'complete' then
        redis.call('HSET', key, 'msg', ARGV[from + 3], 'state', 'completed', 'result', ARGV[from + 5])
        list(KEYS[6], now + ARGV[from + 4] / 1000, id)
        unlock(task[2], id)
        processed = processed + 1
      elseif kind == 'retry' then
        redis.call('HSET', key, 'msg', ARGV[from + 3], 'state', 'retry')
        list(KEYS[4], ARGV[from + 4] / 1000, id)
        if ARGV[from + 5] == '1' then
          processed = processed + 1
          failed = failed + 1
        end
      elseif kind == 'archive' then
        redis.call('HSET', key, 'msg', ARGV[from + 3], 'state', 'archived')
        list(KEYS[5], now, id)
        processed = processed + 1
        failed = failed + 1
      elseif kind == 'corrupt' then
        redis.call('HSET', key, 'state', 'archived', 'taskseal_corrupt', '1')
        list(KEYS[5], now, id)
        processed = processed + 1
        failed = failed + 1
      elseif kind == 'requeue' then
        redis.call('HSET', key, 'state', 'pending')
        -- The first one named is to be the next one out, and that is the last one pushed.
        table.insert(requeued, 1, id)
      end
    end
  end
end

if #finished > 0 then
  redis.call('ZREM', KEYS[2], unpack(finished))
end
if #gone > 0 then
  redis.call('DEL', unpack(gone))
end
for _, zadd in pairs(zadds) do
  redis.call(unpack(zadd))
end
if zadds[KEYS[5]] then
  trim_archive(KEYS[5], prefix .. 't:', now)
end
if processed > 0 then
  count(now, KEYS[7], processed, KEYS[8], failed)
end
if #requeued > 0 and redis.call('RPUSH', KEYS[3], unpack(requeued)) == #requeued then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return replies

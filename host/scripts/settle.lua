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
-- ARGV[4] and on, runs of one of these: the word, how many, and for each of them
--   done: id, token
--   complete: id, token, message, retention in ms, result
--   retry: id, token, message, unix ms, 1 if it counts as a failure
--   archive: id, token, message
--   corrupt: id, token (archived, its message kept as it is)
--   requeue: id, token
-- Returns how many leases there are if all were ended, or one a lease: 1 ended, 0 not held by this token
--
-- What frees memory comes first: once a script has written, Redis lets it finish even when memory is full.

local extra = { done = 0, complete = 3, retry = 3, archive = 1, corrupt = 0, requeue = 0 }
local places = { complete = KEYS[6], retry = KEYS[4], archive = KEYS[5], corrupt = KEYS[5], requeue = KEYS[3] }

local call, argv = redis.call, ARGV
local prefix, hash = argv[1], argv[1] .. 't:'
local now = clock()
local ids, kinds, ends = {}, {}, {}
local at = 4
while argv[at] do
  local kind, step = argv[at], 2 + extra[argv[at]]
  if places[kind] then
    -- A key of another type fails here, before anything is written.
    call(kind == 'requeue' and 'LLEN' or 'ZCARD', places[kind])
  end
  local last = at + 2 + (argv[at + 1] - 1) * step
  for from = at + 2, last, step do
    local n = #ids + 1
    ids[n], kinds[n], ends[n] = argv[from], kind, from
  end
  at = last + step
end
local scores = call('ZMSCORE', KEYS[2], unpack(ids))

-- Tasks that were leased together end at the same moment: of those only the first one's expiry is looked into.
local known_rest, known_score
local function is_held(token, lease, lease_score)
  if not lease or string.sub(lease, 1, 32) ~= token then
    return false
  end
  local rest = string.sub(lease, 33)
  if rest ~= known_rest or lease_score ~= known_score then
    if not expiry_of_ours(lease, lease_score) then
      return false
    end
    known_rest, known_score = rest, lease_score
  end
  return true
end

local replies, finished, ended, leases, keys = {}, {}, {}, {}, {}
for n, id in ipairs(ids) do
  local key = hash .. id
  local lease = redis.pcall('HGET', key, 'taskseal_lease')
  if ended[id] or type(lease) == 'table' or not is_held(argv[ends[n] + 1], lease, scores[n]) then
    replies[n] = 0
  else
    replies[n] = 1
    ended[id] = true
    leases[n], keys[n] = lease, key
    finished[#finished + 1] = id
  end
end
if #finished == 0 then
  return replies
end
leave(KEYS[1], finished, ended)
call('ZREM', KEYS[2], unpack(finished))

local gone, requeued, zadds = {}, {}, {}
local processed, failed = 0, 0

local function list(place, value, id)
  local zadd = zadds[place] or { 'ZADD', place }
  zadds[place] = zadd
  zadd[#zadd + 1] = score(value)
  zadd[#zadd + 1] = id
end

-- Only a lock in this queue's own name space is touched, whatever the hash says.
local function unlock(key, id)
  local lock, space = call('HGET', key, 'unique_key'), prefix .. 'unique:'
  if lock and string.sub(lock, 1, #space) == space and redis.pcall('GET', lock) == id then
    call('DEL', lock)
  end
end

for n, id in ipairs(ids) do
  local lease, from = leases[n], ends[n]
  local kind, key = lease and kinds[n], keys[n]
  if (kind == 'done' or kind == 'complete') and string.sub(lease, 33, 33) == '+' then
    unlock(key, id)
  end
  if kind == 'done' then
    gone[#gone + 1] = key
    processed = processed + 1
  elseif kind then
    call('HDEL', key, 'taskseal_lease')
    if kind == 'complete' then
      call('HSET', key, 'msg', argv[from + 2], 'state', 'completed', 'result', argv[from + 4])
      list(KEYS[6], now + argv[from + 3] / 1000, id)
      processed = processed + 1
    elseif kind == 'retry' then
      call('HSET', key, 'msg', argv[from + 2], 'state', 'retry')
      list(KEYS[4], argv[from + 3] / 1000, id)
      if argv[from + 4] == '1' then
        processed = processed + 1
        failed = failed + 1
      end
    elseif kind == 'archive' then
      call('HSET', key, 'msg', argv[from + 2], 'state', 'archived')
      list(KEYS[5], now, id)
      processed = processed + 1
      failed = failed + 1
    elseif kind == 'corrupt' then
      call('HSET', key, 'state', 'archived', 'taskseal_corrupt', '1')
      list(KEYS[5], now, id)
      processed = processed + 1
      failed = failed + 1
    elseif kind == 'requeue' then
      call('HSET', key, 'state', 'pending')
      -- The first one named is to be the next one out, and that is the last one pushed.
      table.insert(requeued, 1, id)
    end
  end
end

if #gone > 0 then
  call('DEL', unpack(gone))
end
for _, zadd in pairs(zadds) do
  call(unpack(zadd))
end
if zadds[KEYS[5]] then
  trim_archive(KEYS[5], hash, now)
end
if processed > 0 then
  count(now, KEYS[7], processed, KEYS[8], failed)
end
if #requeued > 0 and call('RPUSH', KEYS[3], unpack(requeued)) == #requeued then
  redis.pcall('PUBLISH', argv[2], argv[3])
end
if #finished == #ids then
  return #ids
end
return replies

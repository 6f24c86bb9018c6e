-- Ends leases. A lease that the given token does not hold is not changed.
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
-- ARGV[4] number of leases
-- ARGV[5] and on: all ids; all tokens; and then, in the same order, runs of one kind of end: the word, their number,
-- and for each of them
--   done: nothing
--   complete: message, retention in ms, result
--   retry: message, delay in ms, 1 if it counts as a failure
--   (an empty message leaves the stored one as it is)
--   archive: fields to append to the stored message, which replace earlier values of these fields
--   corrupt: nothing (archived, its message unchanged)
--   requeue: nothing
-- Returns the number of leases if all were ended, or a value for each lease: 1 ended, 0 not held by this token
--
-- Ids leave the active list and the lease set last: if a command before is refused (for instance by an ACL), the task is
-- recovered after its lease.

local extra = { done = 0, complete = 3, retry = 3, archive = 1, corrupt = 0, requeue = 0 }
local places = { complete = KEYS[6], retry = KEYS[4], archive = KEYS[5], corrupt = KEYS[5], requeue = KEYS[3] }

local call, pcall, argv = redis.call, redis.pcall, ARGV
local prefix, hash, number = argv[1], argv[1] .. 't:', tonumber(argv[4])
local tokens, first_run = 4 + number, 5 + 2 * number
local now = clock()
local run = first_run
while argv[run] do
  local kind = argv[run]
  if places[kind] then
    -- A key of another type fails here, before anything is written.
    call(kind == 'requeue' and 'LLEN' or 'ZCARD', places[kind])
  end
  run = run + 2 + argv[run + 1] * extra[kind]
end
local ids = { unpack(argv, 5, tokens) }
local scores = call('ZMSCORE', KEYS[2], unpack(ids))

-- Leases of one call have the same expiry: only that of the first is parsed.
local known_rest, known_score, known_mark = '', false, false

-- Returns the character after the token for a lease that is held, otherwise false.
local function held(token, lease, lease_score)
  if not lease or lease_score ~= known_score or lease ~= token .. known_rest then
    raise_unless_wrong_type(lease)
    if type(lease) ~= 'string' or not is_held_by(token, lease, lease_score) then
      return false
    end
    known_rest, known_score, known_mark = string.sub(lease, 33), lease_score, string.sub(lease, 33, 33)
  end
  return known_mark
end

-- Tables made from a list have their final size at once; those that are filled are resized repeatedly.
local marks, keys, ended = { unpack(ids) }, { unpack(ids) }, {}
local finished, any_locked = 0, false
for n = 1, number do
  local id = ids[n]
  local key = hash .. id
  local lease = pcall('HGET', key, 'taskseal_lease')
  local mark = not ended[id] and held(argv[tokens + n], lease, scores[n])
  marks[n], keys[n] = mark, key
  if mark then
    ended[id] = true
    finished = finished + 1
    any_locked = any_locked or mark == '+'
  end
end
local replies, leaving = {}, ids
if finished < number then
  leaving = {}
  for n = 1, number do
    replies[n] = marks[n] and 1 or 0
    if marks[n] then
      leaving[#leaving + 1] = ids[n]
    end
  end
  if finished == 0 then
    return replies
  end
end
-- Changes nothing: once a script has written, Redis lets it finish even if memory is full.
call('ZREM', KEYS[2], '')

-- Releases a lock only within the key space of this queue, whatever the hash contains.
local function unlock(n)
  local lock, space = call('HGET', keys[n], 'unique_key'), prefix .. 'unique:'
  if lock and string.sub(lock, 1, #space) == space and pcall('GET', lock) == ids[n] then
    call('DEL', lock)
  end
end

local gone, kept, requeued, zadds = {}, {}, {}, {}
local processed, failed = 0, 0

local function list(place, value, id)
  local zadd = zadds[place] or { 'ZADD', place }
  zadds[place] = zadd
  zadd[#zadd + 1] = score(value)
  zadd[#zadd + 1] = id
end

local function store(key, message, ...)
  if message == '' then
    call('HSET', key, ...)
  else
    call('HSET', key, 'msg', message, ...)
  end
end

local function keep(kind, id, key, from)
  kept[#kept + 1] = key
  if kind == 'complete' then
    store(key, argv[from], 'state', 'completed', 'result', argv[from + 2])
    list(KEYS[6], now + argv[from + 1] / 1000, id)
    processed = processed + 1
  elseif kind == 'retry' then
    store(key, argv[from], 'state', 'retry')
    -- Rounded down, so that a task without a delay is due at once.
    list(KEYS[4], math.floor(now * 1000 + argv[from + 1]) / 1000, id)
    if argv[from + 2] == '1' then
      processed = processed + 1
      failed = failed + 1
    end
  elseif kind == 'archive' then
    local message = argv[from] ~= '' and call('HGET', key, 'msg')
    store(key, message and message .. argv[from] or '', 'state', 'archived')
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
    -- The first id must be leased next, and that is the last one pushed.
    table.insert(requeued, 1, id)
  end
end

local task = 0
run = first_run
while argv[run] do
  local kind, length, step = argv[run], tonumber(argv[run + 1]), extra[argv[run]]
  local releases = any_locked and (kind == 'done' or kind == 'complete')
  local is_simple = kind == 'done' and length == number and finished == number and not any_locked
  if is_simple then
    gone = keys
  end
  for nth = 1, is_simple and 0 or length do
    local n = task + nth
    if marks[n] then
      if releases and marks[n] == '+' then
        unlock(n)
      end
      if kind == 'done' then
        gone[#gone + 1] = keys[n]
      else
        keep(kind, ids[n], keys[n], run + 2 + (nth - 1) * step)
      end
    end
  end
  task, run = task + length, run + 2 + length * step
end
processed = processed + #gone

for _, zadd in pairs(zadds) do
  call(unpack(zadd))
end
local was_empty = #requeued > 0 and call('RPUSH', KEYS[3], unpack(requeued)) == #requeued
if #gone > 0 then
  call('DEL', unpack(gone))
end
for _, key in ipairs(kept) do
  call('HDEL', key, 'taskseal_lease')
end
remove_active(KEYS[1], leaving, ended)
call('ZREM', KEYS[2], unpack(leaving))
if processed > 0 then
  count(now, KEYS[7], processed, KEYS[8], failed)
end
if was_empty then
  pcall('PUBLISH', argv[2], argv[3])
end
if finished == number then
  return number
end
return replies

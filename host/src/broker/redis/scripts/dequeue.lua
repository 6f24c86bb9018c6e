-- Leases pending tasks, oldest first.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:paused
-- KEYS[3] <prefix>:{<queue>}:active
-- KEYS[4] <prefix>:{<queue>}:lease
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] maximum number of tasks
-- ARGV[3] lease in ms
-- ARGV[4] first 28 hex digits of the fencing tokens
-- ARGV[5] the last 4 hex digits of each of them, concatenated
-- Returns {{id, ...} leased, {message, ...} of the leased, {id, ...} dropped}; false for a message that is too long
--
-- Dropped: an id without a task, a second copy of an id that is leased or has another state, and a text too long to be
-- an id. Ids that would make the reply too long stay pending.

local call, pcall = redis.call, redis.pcall
local format, sub, find = string.format, string.sub, string.find
if call('EXISTS', KEYS[2]) == 1 then
  return { {}, {}, {} }
end
-- A key of another type fails here, before ids are removed from the list.
call('LLEN', KEYS[3])
local leases = call('ZCARD', KEYS[4])
local ids = call('RPOP', KEYS[1], ARGV[2])
if not ids then
  return { {}, {}, {} }
end

local hash, locks = ARGV[1] .. 't:', ARGV[1] .. 'unique:'
local token_start, token_ends = ARGV[4], ARGV[5]
local now = clock()
local expiry_ms = math.floor(now * 1000 + ARGV[3])
-- As text: Redis formats every number argument with seventeen digits.
local expiry, expiry_text = format('%.0f', math.floor(expiry_ms / 1000)), format('%.0f', expiry_ms)
local without_lock, with_lock = ':' .. expiry_text, '+' .. expiry_text
-- The leased ids move to the front of `ids`. A table made from a list has its final size at once.
local count, number, bytes = #ids, 0, 0
local messages, dropped, left = { unpack(ids) }, {}, {}

-- Returns the message of an id whose state is not pending; false if the id must be dropped.
local function message_unless_listed(id, key, state)
  if type(state) == 'table' then
    return false
  end
  local message = call('HGET', key, 'msg')
  if not message then
    -- A worker that does not check for the task leaves a hash with only a state, which would block the id.
    call('DEL', key)
  elseif state == 'active' then
    for n = 1, number do
      if ids[n] == id then
        return false
      end
    end
    local lease = call('ZSCORE', KEYS[4], id)
    local ends = expiry_of_ours(call('HGET', key, 'taskseal_lease'), lease)
    if lease and (ends or lease * 1000) > now * 1000 then
      return false
    end
    call('LREM', KEYS[3], -1, id)
  elseif is_listed(ARGV[1], state, id) then
    return false
  end
  return message
end

for n = 1, count do
  local id = ids[n]
  if bytes >= max_reply then
    -- The next id to be leased is the last one pushed.
    for last = count, n, -1 do
      left[#left + 1] = ids[last]
    end
    break
  end
  local key, message = nil, false
  if #id <= max_id then
    key = hash .. id
    local state = pcall('HGET', key, 'state')
    message = state == 'pending' and call('HGET', key, 'msg') or message_unless_listed(id, key, state)
  end

  if message then
    number = number + 1
    local token_end = sub(token_ends, 4 * number - 3, 4 * number)
    -- A message names the lock of its task. A long one is not searched and counts as having a lock.
    local has_lock = #message > 65536 or find(message, locks, 1, true)
    local tail = has_lock and with_lock or without_lock
    call('HSET', key, 'state', 'active', 'taskseal_lease', token_start .. token_end .. tail)
    call('HDEL', key, 'pending_since')
    message = #message <= max_value and message
    ids[number], messages[number] = id, message
    bytes = bytes + (message and #message or 0)
  else
    dropped[#dropped + 1] = shown(id)
  end
end
for n = number + 1, count do
  ids[n], messages[n] = nil, nil
end

if #left > 0 then
  call('RPUSH', KEYS[1], unpack(left))
end
if number > 0 then
  call('LPUSH', KEYS[3], unpack(ids))
  -- Redis orders equal scores by id, and ids mostly increase: in reverse order each is inserted at once.
  local scores = { unpack(ids) }
  for n = 1, number do
    scores[2 * n - 1], scores[2 * n] = expiry, ids[number + 1 - n]
  end
  -- Up to 128 members Redis stores a zset as one string and searches it from the start for each member. A member of
  -- more than 64 bytes converts it into an index, which it remains after that member is removed.
  if number >= 8 and leases <= 128 then
    local long = string.rep('-', 65)
    call('ZADD', KEYS[4], '0', long, unpack(scores))
    call('ZREM', KEYS[4], long)
  else
    call('ZADD', KEYS[4], unpack(scores))
  end
end
return { ids, messages, dropped }

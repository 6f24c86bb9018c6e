-- Leases pending tasks, oldest first.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:paused
-- KEYS[3] <prefix>:{<queue>}:active
-- KEYS[4] <prefix>:{<queue>}:lease
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] how many
-- ARGV[3] lease in ms
-- ARGV[4] first 28 hex digits of the fencing tokens
-- ARGV[5] the last 4 hex digits of each of them, one after another
-- Returns {{id, ...} leased, {message, ...} theirs, {id, ...} dropped}; no message where it is too long to be one
--
-- Dropped: an id whose task is gone, a second copy of an id that is being run or stands elsewhere, and what is
-- too long to be an id. Ids that would make the answer too long stay where they were.

local call, pcall = redis.call, redis.pcall
local format, sub, find = string.format, string.sub, string.find
if call('EXISTS', KEYS[2]) == 1 then
  return { {}, {}, {} }
end
-- A key of another type fails here, before ids are taken off the list.
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
-- As text: Redis writes out a number with seventeen digits each time it is handed one.
local expiry, expiry_text = format('%.0f', math.floor(expiry_ms / 1000)), format('%.0f', expiry_ms)
local without_lock, with_lock = ':' .. expiry_text, '+' .. expiry_text
-- The ids leased move up to the front of `ids`. A table made from a list has its final size at once.
local count, number, bytes = #ids, 0, 0
local messages, dropped, left = { unpack(ids) }, {}, {}

-- The message under an id that is not simply pending; false if the id is to be dropped.
local function unless_elsewhere(id, key, state)
  if type(state) == 'table' then
    return false
  end
  local message = call('HGET', key, 'msg')
  if not message then
    -- Workers that do not look first leave a hash with nothing but a state; it would block the id.
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
  elseif stands_in(ARGV[1], state, id) then
    return false
  end
  return message
end

for n = 1, count do
  local id = ids[n]
  if bytes >= enough then
    -- The next one out is the last one pushed.
    for last = count, n, -1 do
      left[#left + 1] = ids[last]
    end
    break
  end
  local key, message = nil, false
  if #id <= longest_id then
    key = hash .. id
    local state = pcall('HGET', key, 'state')
    message = state == 'pending' and call('HGET', key, 'msg') or unless_elsewhere(id, key, state)
  end

  if message then
    number = number + 1
    local token_end = sub(token_ends, 4 * number - 3, 4 * number)
    -- A message names the lock of its task. One that is long to search is simply taken to have one.
    local has_lock = #message > 65536 or find(message, locks, 1, true)
    local tail = has_lock and with_lock or without_lock
    call('HSET', key, 'state', 'active', 'taskseal_lease', token_start .. token_end .. tail)
    call('HDEL', key, 'pending_since')
    message = #message <= longest_value and message
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
  -- Equal scores are kept in order of ids, and ids mostly rise: backwards, each finds its place at once.
  local scores = { unpack(ids) }
  for n = 1, number do
    scores[2 * n - 1], scores[2 * n] = expiry, ids[number + 1 - n]
  end
  -- Up to 128 members Redis keeps a zset as one string and searches it from its start for each of them. A member
  -- of more than 64 bytes turns it into an index, which it stays when that member is gone.
  if number >= 8 and leases <= 128 then
    local long = string.rep('-', 65)
    call('ZADD', KEYS[4], '0', long, unpack(scores))
    call('ZREM', KEYS[4], long)
  else
    call('ZADD', KEYS[4], unpack(scores))
  end
end
return { ids, messages, dropped }

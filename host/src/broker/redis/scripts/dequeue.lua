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
-- ARGV[6] maximum length of a message, in bytes
-- ARGV[7] maximum length of all messages together, in bytes
-- ARGV[8] 1 if the first message is returned even if it is longer than that
-- ARGV[9] maximum number of ids looked at: ids without a task do not count against the number of tasks
-- Returns {{id, ...} leased, {message, ...} of the leased, {id, ...} dropped}; false for a message that is too long
--
-- Dropped: an id without a task, a second copy of an id that is leased or has another state, and a text too long to be
-- an id. Ids that would make the reply too long stay pending.
--
-- Ids leave the pending list last: if a command before is refused (for instance by an ACL), the next call finds them.

local call, pcall = redis.call, redis.pcall
local format, sub, find = string.format, string.sub, string.find
if call('EXISTS', KEYS[2]) == 1 then
  return { {}, {}, {} }
end
local limit, max_looked = tonumber(ARGV[2]), tonumber(ARGV[9])
local max_message, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
local page = call('LRANGE', KEYS[1], -limit, -1)
if #page == 0 then
  return { {}, {}, {} }
end
-- A key of another type fails here, before anything is written.
call('LLEN', KEYS[3])
local leases = call('ZCARD', KEYS[4])

local hash, locks = ARGV[1] .. 't:', ARGV[1] .. 'unique:'
local token_start, token_ends = ARGV[4], ARGV[5]
local now = clock()
local expiry_ms = math.floor(now * 1000 + ARGV[3])
-- As text: Redis formats every number argument with seventeen digits.
local expiry, expiry_text = format('%.0f', math.floor(expiry_ms / 1000)), format('%.0f', expiry_ms)
local without_lock, with_lock = ':' .. expiry_text, '+' .. expiry_text
-- A table made from a list has its final size at once.
local ids, messages, dropped = { unpack(page) }, { unpack(page) }, {}
local looked, number, bytes, is_full = 0, 0, 0, false

-- Changes nothing, and lets the script go on if memory is full.
call('LTRIM', KEYS[1], 0, -1)

-- Returns the message of an id whose state is not pending; false if the id must be dropped.
local function message_unless_listed(id, key, state)
  if type(state) == 'table' then
    raise_unless_wrong_type(state)
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
    local ends = (expiry_of_ours(call('HGET', key, 'taskseal_lease'), lease) or (lease or 0) * 1000) / 1000
    if ends > now and ends <= now + max_lease then
      return false
    end
    call('LREM', KEYS[3], -1, id)
  elseif is_listed(ARGV[1], state, id) then
    return false
  end
  return message
end

while #page > 0 and not is_full do
  -- The next id to be leased is the last one of the list.
  for n = #page, 1, -1 do
    local id = page[n]
    local key, message = nil, false
    if #id <= max_id then
      key = hash .. id
      local state = pcall('HGET', key, 'state')
      message = state == 'pending' and call('HGET', key, 'msg') or message_unless_listed(id, key, state)
    end

    if message then
      local length = #message <= max_message and #message or 0
      is_full = (number > 0 or ARGV[8] ~= '1') and bytes + length > max_bytes
      if is_full then
        break
      end
      number = number + 1
      local token_end = sub(token_ends, 4 * number - 3, 4 * number)
      -- A message names the lock of its task. A long one is not searched and counts as having a lock.
      local has_lock = #message > 65536 or find(message, locks, 1, true)
      local tail = has_lock and with_lock or without_lock
      call('HSET', key, 'state', 'active', 'taskseal_lease', token_start .. token_end .. tail)
      call('HDEL', key, 'pending_since')
      ids[number], messages[number] = id, #message <= max_message and message
      bytes = bytes + length
    else
      dropped[#dropped + 1] = shown(id)
    end
    looked = looked + 1
  end
  local more = math.min(limit - number, max_looked - looked)
  if is_full or more <= 0 then
    break
  end
  page = call('LRANGE', KEYS[1], -(looked + more), -(looked + 1))
end
for n = number + 1, #ids do
  ids[n], messages[n] = nil, nil
end

if number > 0 then
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
  call('LPUSH', KEYS[3], unpack(ids))
end
if looked > 0 then
  call('LTRIM', KEYS[1], 0, -looked - 1)
end
return { ids, messages, dropped }

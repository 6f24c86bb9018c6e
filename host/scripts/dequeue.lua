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
-- Returns {{id, message, id, message, ...} leased, {id, ...} dropped}; no message where it is too long to be one
--
-- Dropped: an id whose task is gone, a second copy of an id that is being run or stands elsewhere, and what is
-- too long to be an id. Ids that would make the answer too long stay where they were.

local call, pcall, format = redis.call, redis.pcall, string.format
if call('EXISTS', KEYS[2]) == 1 then
  return { {}, {} }
end
-- A key of another type fails here, before ids are taken off the list.
call('LLEN', KEYS[3])
local leases = call('ZCARD', KEYS[4])
local ids = call('RPOP', KEYS[1], ARGV[2])
if not ids then
  return { {}, {} }
end

local hash = ARGV[1] .. 't:'
local token_start, token_ends = ARGV[4], ARGV[5]
local now = clock()
local expiry_ms = math.floor(now * 1000 + ARGV[3])
-- As text: Redis writes out a number with seventeen digits each time it is handed one.
local expiry, expiry_text = format('%.0f', math.floor(expiry_ms / 1000)), format('%.0f', expiry_ms)
local leased, dropped, taken, held = {}, {}, {}, {}
local number, bytes, left = 0, 0, {}

for at, id in ipairs(ids) do
  if bytes >= enough then
    -- The next one out is the last one pushed.
    for n = #ids, at, -1 do
      left[#left + 1] = ids[n]
    end
    break
  end
  local key = hash .. shown(id)
  local task = pcall('HMGET', key, 'msg', 'state', 'unique_key')
  local message, state = task[1], task[2]
  local drop = false
  if #id > longest_id then
    drop = true
  elseif not message then
    drop = true
    if not task.err then
      -- Workers that do not look first leave a hash with nothing but a state; it would block the id.
      call('DEL', key)
    end
  elseif held[id] then
    drop = true
  elseif state == 'active' then
    local lease = call('ZSCORE', KEYS[4], id)
    local ends = expiry_of_ours(call('HGET', key, 'taskseal_lease'), lease)
    drop = lease and (ends or lease * 1000) > now * 1000
    if not drop then
      call('LREM', KEYS[3], -1, id)
    end
  elseif state ~= 'pending' then
    drop = stands_in(ARGV[1], state, id)
  end

  if drop then
    dropped[#dropped + 1] = shown(id)
  else
    local digits = string.sub(token_ends, 4 * number + 1, 4 * number + 4)
    local mark = task[3] and '+' or ':'
    call('HSET', key, 'state', 'active', 'taskseal_lease', token_start .. digits .. mark .. expiry_text)
    call('HDEL', key, 'pending_since')
    number = number + 1
    held[id] = true
    taken[number] = id
    local carried = bounded(message)
    leased[2 * number - 1] = id
    leased[2 * number] = carried
    bytes = bytes + (carried and #carried or 0)
  end
end

if #left > 0 then
  call('RPUSH', KEYS[1], unpack(left))
end
if number > 0 then
  call('LPUSH', KEYS[3], unpack(taken))
  -- Equal scores are kept in order of ids, and ids mostly rise: backwards, each finds its place at once.
  local scores = {}
  for n = number, 1, -1 do
    scores[#scores + 1] = expiry
    scores[#scores + 1] = taken[n]
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
return { leased, dropped }

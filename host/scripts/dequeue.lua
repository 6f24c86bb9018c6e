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
-- ARGV[5] number that the last 4 hex digits count up from
-- Returns {{id, message, id, message, ...} leased, {id, ...} dropped}; no message where it is too long to be one
--
-- Dropped: an id whose task is gone, a second copy of an id that is being run or stands elsewhere, and what is
-- too long to be an id. Ids that would make the answer too long stay where they were.

if redis.call('EXISTS', KEYS[2]) == 1 then
  return { {}, {} }
end
-- A key of another type fails here, before ids are taken off the list.
redis.call('LLEN', KEYS[3])
redis.call('ZCARD', KEYS[4])
local ids = redis.call('RPOP', KEYS[1], ARGV[2])
if not ids then
  return { {}, {} }
end

local prefix = ARGV[1]
local now = clock()
local expiry_ms = math.floor(now * 1000 + ARGV[3])
local expiry, suffix = math.floor(expiry_ms / 1000), string.format(':%.0f', expiry_ms)
local leased, dropped, taken, held = {}, {}, {}, {}
local bytes, left = 0, {}

for at, id in ipairs(ids) do
  if bytes >= enough then
    -- The next one out is the last one pushed.
    for n = #ids, at, -1 do
      left[#left + 1] = ids[n]
    end
    break
  end
  local key = prefix .. 't:' .. shown(id)
  local task = redis.pcall('HMGET', key, 'msg', 'state')
  local message, state = task[1], task[2]
  local drop = false
  if #id > longest_id then
    drop = true
  elseif not message then
    drop = true
    if not task.err then
      -- Workers that do not look first leave a hash with nothing but a state; it would block the id.
      redis.call('DEL', key)
    end
  elseif held[id] then
    drop = true
  elseif state == 'active' then
    local lease = redis.call('ZSCORE', KEYS[4], id)
    local expiry = expiry_of_ours(redis.call('HGET', key, 'taskseal_lease'), lease)
    drop = lease and (expiry or lease * 1000) > now * 1000
    if not drop then
      redis.call('LREM', KEYS[3], -1, id)
    end
  elseif state ~= 'pending' then
    drop = stands_in(prefix, state, id)
  end

  if drop then
    dropped[#dropped + 1] = shown(id)
  else
    local number = #taken
    local token = ARGV[4] .. string.format('%04x', (ARGV[5] + number) % 65536)
    held[id] = true
    taken[number + 1] = id
    leased[2 * number + 1] = id
    leased[2 * number + 2] = bounded(message)
    bytes = bytes + (bounded(message) and #message or 0)
    redis.call('HSET', key, 'state', 'active', 'taskseal_lease', token .. suffix)
    redis.call('HDEL', key, 'pending_since')
  end
end

if #left > 0 then
  redis.call('RPUSH', KEYS[1], unpack(left))
end
if #taken > 0 then
  redis.call('LPUSH', KEYS[3], unpack(taken))
  -- Equal scores are kept in order of ids, and ids mostly rise: backwards, each finds its place at once.
  local scores = {}
  for n = #taken, 1, -1 do
    scores[#scores + 1] = expiry
    scores[#scores + 1] = taken[n]
  end
  redis.call('ZADD', KEYS[4], unpack(scores))
end
return { leased, dropped }

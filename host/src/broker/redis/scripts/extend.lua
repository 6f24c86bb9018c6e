-- Extends leases that the given tokens hold.
--
-- KEYS[1] <prefix>:{<queue>}:lease
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] lease in ms, from now
-- ARGV[3] and on, two for each lease: id, token
-- Returns a value for each lease: 1 extended, 0 not held by this token

local prefix = ARGV[1]
local now = clock()
local expiry_ms = math.floor(now * 1000 + ARGV[2])
local expiry, suffix = math.floor(expiry_ms / 1000), string.format('%.0f', expiry_ms)
local ids = {}
for at = 3, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ids))

-- Change nothing: without one of these rights, no lease is changed. The first lets the script go on if memory is full.
redis.call('ZREM', KEYS[1], '')
redis.call('ZADD', KEYS[1], 'XX', '0', '')
local replies, zadd, extended = {}, { 'ZADD', KEYS[1], 'XX' }, {}
for n, id in ipairs(ids) do
  local token = ARGV[2 * n + 2]
  local key = prefix .. 't:' .. id
  local task = redis.pcall('HMGET', key, 'taskseal_lease')
  raise_unless_wrong_type(task)
  if extended[id] then
    replies[n] = extended[id] == token and 1 or 0
  elseif is_held_by(token, task[1], scores[n]) then
    extended[id] = token
    redis.call('HSET', key, 'taskseal_lease', string.sub(task[1], 1, 33) .. suffix)
    zadd[#zadd + 1] = expiry
    zadd[#zadd + 1] = id
    replies[n] = 1
  else
    replies[n] = 0
  end
end
if #zadd > 3 then
  redis.call(unpack(zadd))
end
return replies

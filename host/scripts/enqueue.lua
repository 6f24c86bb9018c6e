-- Stores tasks, each pending now or scheduled for later.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:scheduled
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] 2 or 4: how many arguments a task has
-- ARGV[5] and on, a task: id, message, and if there are 4: unix ms from which it is pending (0: now), unique key
--   (may be empty)
-- Returns how many tasks there are if all were stored, or one a task: 1 stored; 0 the id is taken by something that
--   is no task; or the message already stored under the id, for the caller to compare payloads (0 if it is so much
--   longer that they cannot be equal).
--
-- Ids are listed before their hashes are written: should the second step be refused (by an ACL, say), an id
-- without a hash is dropped by the next dequeue, whereas a hash without an id would block that id for ever.

local call, argv = redis.call, ARGV
local stride, hash = tonumber(argv[4]), argv[1] .. 't:'
local now, time = clock()
local now_ns = nanoseconds(time)

local keys = {}
for at = 5, #argv, stride do
  keys[#keys + 1] = hash .. argv[at]
end
-- One question for all: only where some id is taken is each of them asked for.
local all_free = call('EXISTS', unpack(keys)) == 0

local replies, ready, later, scheduled = {}, {}, {}, {}
for n, key in ipairs(keys) do
  local stored = not all_free and redis.pcall('HGET', key, 'msg')
  if stored then
    local other = type(stored) == 'table' or #stored > #argv[5 + (n - 1) * stride + 1] + 1048576
    replies[n] = other and 0 or stored
  else
    local at = 5 + (n - 1) * stride
    local process_at = stride == 4 and argv[at + 2] / 1000 or 0
    if process_at > now then
      later[#later + 1] = score(process_at)
      later[#later + 1] = argv[at]
      scheduled[n] = true
    else
      ready[#ready + 1] = argv[at]
    end
    replies[n] = 1
  end
end

local was_empty = false
if #ready > 0 then
  was_empty = call('LPUSH', KEYS[1], unpack(ready)) == #ready
end
if #later > 0 then
  call('ZADD', KEYS[2], unpack(later))
end
for n, key in ipairs(keys) do
  if replies[n] == 1 then
    local at = 5 + (n - 1) * stride
    if scheduled[n] then
      call('HSET', key, 'msg', argv[at + 1], 'state', 'scheduled')
    else
      call('HSET', key, 'msg', argv[at + 1], 'state', 'pending', 'pending_since', now_ns)
    end
    if stride == 4 and argv[at + 3] ~= '' then
      call('HSET', key, 'unique_key', argv[at + 3])
    end
  end
end
if was_empty then
  -- A right to publish is not needed to enqueue: workers poll as well.
  redis.pcall('PUBLISH', argv[2], argv[3])
end
if all_free then
  return #keys
end
return replies

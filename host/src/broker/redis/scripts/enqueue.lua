-- Stores tasks, each pending now or scheduled for later.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:scheduled
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] number of tasks
-- ARGV[5] and on: all ids; all messages; and unless every task is pending now and without a lock, the Unix ms from
--   which each is pending (0: now), and all unique keys (may be empty)
-- Returns the number of tasks if all were stored, or a value for each task: 1 stored; 0 the id is taken by a key that
--   is not a task; or the message already stored under the id, for the caller to compare payloads (0 if it is so much
--   longer that they cannot be equal).
--
-- Ids are listed before their hashes are written: if the second step is refused (for instance by an ACL), an id
-- without a hash is dropped by the next dequeue, whereas a hash without an id would block that id forever.

local call, argv = redis.call, ARGV
local hash, number = argv[1] .. 't:', tonumber(argv[4])
-- Indexes before the first message, time and unique key.
local messages, times, locks = 4 + number, 4 + 2 * number, 4 + 3 * number
local is_plain = argv[times + 1] == nil
local now, time = clock()
local now_ns = nanoseconds(time)

-- A table made from a list has its final size at once; one that is filled is resized repeatedly.
local keys = { unpack(argv, 5, messages) }
for n = 1, number do
  keys[n] = hash .. keys[n]
end
-- One check for all ids; each is checked only if some id is taken.
local all_free = call('EXISTS', unpack(keys)) == 0

local replies, ready, later, scheduled = {}, {}, {}, {}
if all_free and is_plain then
  ready = { unpack(argv, 5, messages) }
else
  for n, key in ipairs(keys) do
    local stored = not all_free and redis.pcall('HGET', key, 'msg')
    if stored then
      local other = type(stored) == 'table' or #stored > #argv[messages + n] + 1048576
      replies[n] = other and 0 or stored
    else
      local process_at = is_plain and 0 or argv[times + n] / 1000
      if process_at > now then
        later[#later + 1] = score(process_at)
        later[#later + 1] = argv[4 + n]
        scheduled[n] = true
      else
        ready[#ready + 1] = argv[4 + n]
      end
      replies[n] = 1
    end
  end
end

local was_empty = false
if #ready > 0 then
  was_empty = call('LPUSH', KEYS[1], unpack(ready)) == #ready
end
if #later > 0 then
  call('ZADD', KEYS[2], unpack(later))
end
for n = 1, number do
  if all_free or replies[n] == 1 then
    local key = keys[n]
    if scheduled[n] then
      call('HSET', key, 'msg', argv[messages + n], 'state', 'scheduled')
    else
      call('HSET', key, 'msg', argv[messages + n], 'state', 'pending', 'pending_since', now_ns)
    end
    if not is_plain and argv[locks + n] ~= '' then
      call('HSET', key, 'unique_key', argv[locks + n])
    end
  end
end
if was_empty then
  -- Enqueuing must succeed without the right to publish: workers poll as well.
  redis.pcall('PUBLISH', argv[2], argv[3])
end
if all_free then
  return number
end
return replies

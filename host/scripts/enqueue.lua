-- Stores tasks, each pending now or scheduled for later.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:scheduled
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- ARGV[4] and on, four a task: id, message, unix ms from which it is pending (0: now), unique key (may be empty)
-- Returns one a task: 1 stored; 0 the id is taken by something that is no task; or the message already stored
--   under the id, for the caller to compare payloads (0 if it is so much longer that they cannot be equal).
--
-- Ids are listed before their hashes are written: should the second step be refused (by an ACL, say), an id
-- without a hash is dropped by the next dequeue, whereas a hash without an id would block that id for ever.

local prefix = ARGV[1]
local now, now_ns = clock()
local replies, ready, later, writes = {}, {}, {}, {}

for at = 4, #ARGV, 4 do
  local id, message, process_at, unique_key = ARGV[at], ARGV[at + 1], ARGV[at + 2] / 1000, ARGV[at + 3]
  local key = prefix .. 't:' .. id
  local stored = redis.pcall('HGET', key, 'msg')
  if stored then
    local other = type(stored) == 'table' or #stored > #message + 1048576
    replies[#replies + 1] = other and 0 or stored
  else
    local write
    if process_at > now then
      later[#later + 1] = score(process_at)
      later[#later + 1] = id
      write = { 'HSET', key, 'msg', message, 'state', 'scheduled' }
    else
      ready[#ready + 1] = id
      write = { 'HSET', key, 'msg', message, 'state', 'pending', 'pending_since', now_ns }
    end
    if unique_key ~= '' then
      write[#write + 1] = 'unique_key'
      write[#write + 1] = unique_key
    end
    writes[#writes + 1] = write
    replies[#replies + 1] = 1
  end
end

local was_empty = false
if #ready > 0 then
  was_empty = redis.call('LPUSH', KEYS[1], unpack(ready)) == #ready
end
if #later > 0 then
  redis.call('ZADD', KEYS[2], unpack(later))
end
for _, write in ipairs(writes) do
  redis.call(unpack(write))
end
if was_empty then
  -- A right to publish is not needed to enqueue: workers poll as well.
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return replies

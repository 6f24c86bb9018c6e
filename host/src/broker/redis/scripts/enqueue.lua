-- Stores tasks, each pending now or scheduled for later.
--
-- KEYS[1] <prefix>:{<queue>}:pending
-- KEYS[2] <prefix>:{<queue>}:scheduled
-- KEYS[3] <prefix>:{<queue>}:active
-- KEYS[4] <prefix>:{<queue>}:lease
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
-- A task that is stored and in no list is listed again: its list was lost, and it would never run.
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

-- In each call, so that a server that lost the set of queues gets the name again. In Redis Cluster the set may be on
-- another node: there the name is stored once for each connection only.
redis.pcall('SADD', string.sub(argv[1], 1, -5 - #argv[3]) .. ':queues', argv[3])

local replies, ready, later, scheduled, again = {}, {}, {}, {}, {}

-- Number of entries of the pending and active lists that may still be compared: a long list is not searched for each id.
local budget = 200000

-- Returns whether a list has an id; true if that is not known.
local function may_have(list, id)
  local length = call('LLEN', list)
  if length > budget then
    return true
  end
  budget = budget - length
  return call('LPOS', list, id) and true
end

-- Lists a stored task again if no list has it.
local function list_again(key, id)
  local state = call('HGET', key, 'state')
  if state == 'pending' or state == 'active' then
    if not call('ZSCORE', KEYS[4], id) and not may_have(KEYS[1], id) and not may_have(KEYS[3], id) then
      again[#again + 1] = id
    end
  elseif state == 'scheduled' or state == 'retry' then
    if not call('ZSCORE', argv[1] .. state, id) then
      again[#again + 1] = id
    end
  end
end

if all_free and is_plain then
  ready = { unpack(argv, 5, messages) }
else
  for n, key in ipairs(keys) do
    local stored = not all_free and redis.pcall('HGET', key, 'msg')
    if stored then
      raise_unless_wrong_type(stored)
      local other = type(stored) == 'table' or #stored > #argv[messages + n] + max_growth
      replies[n] = other and 0 or stored
      if not other then
        list_again(key, argv[4 + n])
      end
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
if #again > 0 then
  was_empty = call('LPUSH', KEYS[1], unpack(again)) == #again
  for _, id in ipairs(again) do
    call('HSET', hash .. id, 'state', 'pending', 'pending_since', now_ns)
  end
end
if #ready > 0 then
  was_empty = call('LPUSH', KEYS[1], unpack(ready)) == #ready or was_empty
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

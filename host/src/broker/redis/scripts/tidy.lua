-- Deletes completed tasks past their retention and archived tasks beyond the limits of the archive, and gives active tasks
-- without a lease, or with one that ends too late, one that has expired.
--
-- KEYS[1] <prefix>:{<queue>}:completed
-- KEYS[2] <prefix>:{<queue>}:active
-- KEYS[3] <prefix>:{<queue>}:lease
-- KEYS[4] <prefix>:{<queue>}:archived
-- KEYS[5] <prefix>:{<queue>}:taskseal:trimmed
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] maximum number of each
-- ARGV[3] maximum number of archived tasks
-- ARGV[4] how long an archived task is kept, in ms
-- Returns {completed tasks deleted, active tasks repaired, archived tasks deleted}
--
-- Every script that moves a task writes list and lease together, so an active task without a lease is not one that is
-- being moved. Stranded ids collect at the tail of the list: only the tail is checked. A key of another type has no tasks, and
-- the others are tidied.

local now = clock()
local limit = tonumber(ARGV[2])

-- Returns the ids that a command reads, or the scores of ids: none from a key of another type.
local function read(...)
  local reply = redis.pcall(...)
  raise_unless_wrong_type(reply)
  return reply.err and {} or reply
end

local function count(set)
  local reply = redis.pcall('ZCARD', set)
  raise_unless_wrong_type(reply)
  return tonumber(reply) or 0
end

local function delete(set, ids)
  if #ids > 0 then
    local keys = {}
    for n, id in ipairs(ids) do
      keys[n] = ARGV[1] .. 't:' .. id
    end
    redis.call('DEL', unpack(keys))
    redis.call('ZREM', set, unpack(ids))
  end
  return #ids
end

local expired = read('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now), 'LIMIT', 0, limit)
delete(KEYS[1], expired)

-- A time of 0 is none: such a task leaves the archive by the number of tasks only.
local oldest = string.format('%.6f', now - ARGV[4] / 1000)
local beyond = read('ZRANGEBYSCORE', KEYS[4], '(0', oldest, 'LIMIT', 0, limit)
if #beyond == 0 then
  local excess = math.min(count(KEYS[4]) - ARGV[3], limit)
  beyond = excess > 0 and read('ZRANGE', KEYS[4], 0, excess - 1) or {}
end
if delete(KEYS[4], beyond) > 0 then
  -- A counter that was tampered with must not keep the tasks.
  redis.pcall('INCRBY', KEYS[5], #beyond)
end

local zadd = { 'ZADD', KEYS[3] }
-- Long enough ago for every recoverer, including those with a grace period.
local ended = math.floor(now - 60)
local active = read('LRANGE', KEYS[2], -1000, -1)
if #active > 0 then
  local scores = read('ZMSCORE', KEYS[3], unpack(active))
  -- No scores: the leases cannot be written either.
  for n = #scores, 1, -1 do
    if not scores[n] and #zadd - 2 < 2 * limit then
      zadd[#zadd + 1] = ended
      zadd[#zadd + 1] = active[n]
    end
  end
end
local latest = string.format('(%.6f', now + max_lease)
for _, id in ipairs(read('ZRANGEBYSCORE', KEYS[3], latest, '+inf', 'LIMIT', 0, limit)) do
  if #zadd - 2 < 2 * limit then
    zadd[#zadd + 1] = ended
    zadd[#zadd + 1] = id
  end
end
local repaired = (#zadd - 2) / 2
if repaired > 0 then
  redis.call(unpack(zadd))
end
return { #expired, repaired, #beyond }

-- Deletes completed tasks past their retention, and gives active tasks without a lease, or with one that ends too late,
-- one that has expired.
--
-- KEYS[1] <prefix>:{<queue>}:completed
-- KEYS[2] <prefix>:{<queue>}:active
-- KEYS[3] <prefix>:{<queue>}:lease
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] maximum number of each
-- Returns {deleted, repaired}
--
-- Every script that moves a task writes list and lease together, so an active task without a lease is not one that is
-- being moved. Stranded ids collect at the tail of the list: only the tail is checked.

local now = clock()
local limit = tonumber(ARGV[2])

local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now), 'LIMIT', 0, limit)
if #expired > 0 then
  local keys = {}
  for n, id in ipairs(expired) do
    keys[n] = ARGV[1] .. 't:' .. id
  end
  redis.call('DEL', unpack(keys))
  redis.call('ZREM', KEYS[1], unpack(expired))
end

local zadd = { 'ZADD', KEYS[3] }
-- Long enough ago for every recoverer, including those with a grace period.
local ended = math.floor(now - 60)
local active = redis.call('LRANGE', KEYS[2], -1000, -1)
if #active > 0 then
  local scores = redis.call('ZMSCORE', KEYS[3], unpack(active))
  for n = #active, 1, -1 do
    if not scores[n] and #zadd - 2 < 2 * limit then
      zadd[#zadd + 1] = ended
      zadd[#zadd + 1] = active[n]
    end
  end
end
local latest = string.format('(%.6f', now + max_lease)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], latest, '+inf', 'LIMIT', 0, limit)) do
  if #zadd - 2 < 2 * limit then
    zadd[#zadd + 1] = ended
    zadd[#zadd + 1] = id
  end
end
local repaired = (#zadd - 2) / 2
if repaired > 0 then
  redis.call(unpack(zadd))
end
return { #expired, repaired }

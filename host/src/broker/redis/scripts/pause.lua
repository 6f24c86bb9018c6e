-- Pauses or resumes a queue.
--
-- KEYS[1] <prefix>:{<queue>}:paused
-- ARGV[1] 1 pause, 0 resume
-- ARGV[2] wake-up channel
-- ARGV[3] queue
-- Returns 1 if the state changed, otherwise 0

if ARGV[1] == '1' then
  return redis.call('SETNX', KEYS[1], redis.call('TIME')[1])
end
local changed = redis.call('DEL', KEYS[1])
if changed == 1 then
  redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
return changed

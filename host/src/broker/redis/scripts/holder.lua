-- The holder of a lease. Part of other scripts.
--
-- Hash field taskseal_lease is `<token>:<expiry in ms>`, or `<token>+<expiry in ms>` if the task has a uniqueness
-- lock to release when it is done. The same expiry is written to the lease zset at the same time, in whole seconds as
-- asynq does. (A fraction would cost more than the rest of the script: a small zset stores it as text, and parses it
-- at every comparison.) A worker of another make that takes the task over changes the score and leaves the field: a
-- token beside another expiry is stale and holds no lease.

-- Returns the expiry of a lease of ours, in Unix ms; nil if the lease is not ours.
local function expiry_of_ours(lease, lease_score)
  local expiry = lease and lease_score and tonumber(string.sub(lease, 34))
  if expiry and math.floor(expiry / 1000) == tonumber(lease_score) then
    return expiry
  end
end

local function is_held_by(token, lease, lease_score)
  return lease and string.sub(lease, 1, 32) == token and expiry_of_ours(lease, lease_score) ~= nil
end

-- Returns a score of a zset as text in Unix ms, exact for a lease of ours; false if there is none.
local function at_ms(value, lease)
  return value and string.format('%.0f', expiry_of_ours(lease, value) or value * 1000) or false
end

-- Maximum duration of a lease of any worker, in seconds. One that ends later counts as none: its end was forged, or set
-- by a host with a wrong clock.
local max_lease = 3600

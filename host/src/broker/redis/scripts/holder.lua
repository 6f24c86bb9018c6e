-- Who holds a lease. Part of other scripts.
--
-- Hash field taskseal_lease is `<token>:<expiry in ms>`, or `<token>+<expiry in ms>` if the task has a uniqueness
-- lock to free when it is done; the lease zset is given the same expiry at the same moment, in whole seconds as
-- asynq does. (A fraction would cost more than the rest of the script: a small zset keeps it as text, and reads it
-- as a number again at every comparison.) A worker of another make that took the task over changes the score and
-- leaves the field: a token beside another expiry is stale and holds nothing.

-- The moment a lease of ours ends, in unix ms; nil if it is not one of ours.
local function expiry_of_ours(lease, lease_score)
  local expiry = lease and lease_score and tonumber(string.sub(lease, 34))
  if expiry and math.floor(expiry / 1000) == tonumber(lease_score) then
    return expiry
  end
end

local function is_held_by(token, lease, lease_score)
  return lease and string.sub(lease, 1, 32) == token and expiry_of_ours(lease, lease_score) ~= nil
end

-- Unix ms as text of what a zset says, to the ms where it is a lease of ours; false if it says nothing.
local function at_ms(value, lease)
  return value and string.format('%.0f', expiry_of_ours(lease, value) or value * 1000) or false
end

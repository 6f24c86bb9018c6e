-- Who holds a lease. Part of other scripts.
--
-- Hash field taskseal_lease is `<token>:<expiry>`, the expiry being the score given to the lease zset at the
-- same moment. A worker of another make that took the task over changes the score and leaves the field:
-- a token beside another expiry is stale and holds nothing.

local function is_held_by_us(lease, lease_score)
  return lease and lease_score and tonumber(string.sub(lease, 34)) == tonumber(lease_score)
end

local function is_held_by(token, lease, lease_score)
  return is_held_by_us(lease, lease_score) and string.sub(lease, 1, 32) == token
end

-- Removes ids from the active list. Part of other scripts.
--
-- Tasks end roughly in the order in which they were leased, and the oldest are at the tail. So the tail is trimmed, and
-- pushed back without them: two commands instead of one for each id, in one atomic script.

-- `is_leaving` has the same ids as `ids`, and is changed.
local function remove_active(active_key, ids, is_leaving)
  local left = #ids
  if left > 1 then
    local tail = redis.call('LRANGE', active_key, -left, -1)
    local others, cut, back = {}, 0, 0
    for n = #tail, 1, -1 do
      local id = tail[n]
      if is_leaving[id] then
        -- A second copy remains.
        is_leaving[id] = false
        left = left - 1
        cut, back = #tail - n + 1, #others
        if left == 0 then
          break
        end
      else
        others[#others + 1] = id
      end
    end
    if cut > 0 then
      redis.call('LTRIM', active_key, 0, -cut - 1)
    end
    if back > 0 then
      local again = {}
      for n = back, 1, -1 do
        again[#again + 1] = others[n]
      end
      redis.call('RPUSH', active_key, unpack(again))
    end
    if left > 0 then
      for _, id in ipairs(ids) do
        if is_leaving[id] then
          redis.call('LREM', active_key, -1, id)
        end
      end
    end
  else
    redis.call('LREM', active_key, -1, ids[1])
  end
end

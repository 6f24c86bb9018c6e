-- Taking ids off the active list. Part of other scripts.
--
-- Tasks end much in the order in which they were handed out, and the oldest stand at the tail. So the tail is cut
-- off, and put back without them: two commands instead of one for each, and nobody sees the list in between.

-- `is_leaving` says the same as `ids`, and is used up.
local function leave(active_key, ids, is_leaving)
  local left = #ids
  if left > 1 then
    local tail = redis.call('LRANGE', active_key, -left, -1)
    local others, cut, back = {}, 0, 0
    for n = #tail, 1, -1 do
      local id = tail[n]
      if is_leaving[id] then
        -- A second copy stays.
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

-- Where a task is. Part of other scripts.

-- Whether `id` really stands where its hash says, that place being another than the list it was found in.
-- Only then is what was found a second copy that can be dropped without losing the task.
local function stands_in(prefix, state, id)
  if state == 'scheduled' or state == 'retry' or state == 'archived' or state == 'completed' then
    local found = redis.pcall('ZSCORE', prefix .. state, id)
    return found and type(found) ~= 'table'
  end
  return false
end

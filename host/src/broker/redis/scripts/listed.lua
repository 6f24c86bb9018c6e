-- Where a task is listed. Part of other scripts.

-- Returns whether `id` is listed under the state of its hash, if that is another list than the one it was found in.
-- Only then is the entry that was found a second copy, which can be dropped without losing the task.
local function is_listed(prefix, state, id)
  if state == 'scheduled' or state == 'retry' or state == 'archived' or state == 'completed' then
    local found = redis.pcall('ZSCORE', prefix .. state, id)
    raise_unless_wrong_type(found)
    return found and type(found) ~= 'table'
  end
  return false
end

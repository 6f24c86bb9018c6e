-- How much one answer may carry. Part of other scripts.
--
-- Whoever writes to Redis can store values of 512 MB; a script that hands them on takes its caller's memory.

-- The longest task id in bytes.
local longest_id = 1024
-- The longest message or result in bytes: what a caller would decode.
local longest_value = 67108864
-- Bytes after which an answer takes no more tasks.
local enough = 67108864

-- An id as it may be answered: a name to show where it cannot be the id of a task.
local function shown(id)
  if #id > longest_id then
    return string.sub(id, 1, 64)
  end
  return id
end

-- A value as it may be answered; false if there is none or it is too long.
local function bounded(value)
  return value and #value <= longest_value and value
end

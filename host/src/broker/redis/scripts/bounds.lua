-- Limits of a reply. Part of other scripts.
--
-- A process that can write to Redis can store values of 512 MB; returning them would exhaust the memory of the caller.

-- Maximum length of a task id, in bytes.
local max_id = 1024
-- Maximum length of a message or result, in bytes: what a caller decodes.
local max_value = 67108864
-- Size after which a reply gets no more tasks, in bytes.
local max_reply = 67108864

-- How much longer than when it was enqueued a message can be, in bytes: the text of its last failure.
local max_growth = 131072

-- Returns an id for a reply, truncated for display if it is too long to be the id of a task.
local function shown(id)
  if #id > max_id then
    return string.sub(id, 1, 64)
  end
  return id
end

-- Returns a value for a reply; false if there is none or it is longer than `limit`, by default that of a message.
local function bounded(value, limit)
  return value and #value <= (limit or max_value) and value
end

-- The aggregation groups of asynq: tasks that one of its servers is to merge into one. Part of other scripts.
--
-- A group is a zset `g:<name>`, and its name is in the set `groups`. Both are keys of the queue.

-- Maximum number of groups that one call looks at, about: a process that can write to Redis can add any number.
local max_groups = '1000'

-- Returns the zset of each group, in order of name, and whether these are all groups.
local function groups(prefix)
  local page = redis.pcall('SSCAN', prefix .. 'groups', '0', 'COUNT', max_groups)
  raise_unless_wrong_type(page)
  local keys = {}
  for n, name in ipairs(page[2] or {}) do
    keys[n] = prefix .. 'g:' .. name
  end
  table.sort(keys)
  return keys, page[1] == nil or page[1] == '0'
end

-- Returns the number of tasks in a group.
local function group_size(key)
  local size = redis.pcall('ZCARD', key)
  raise_unless_wrong_type(size)
  return type(size) == 'number' and size or 0
end

-- Returns the zset of the group that a task names.
local function group_of(prefix, task_key)
  local name = redis.pcall('HGET', task_key, 'group')
  return type(name) == 'string' and #name <= max_id and prefix .. 'g:' .. name
end

-- Returns the time since which a task is in the group that it names, as score of that group; false if it is not.
local function grouped_since(prefix, task_key, id)
  local key = group_of(prefix, task_key)
  local found = key and redis.pcall('ZSCORE', key, id)
  raise_unless_wrong_type(found)
  return type(found) ~= 'table' and found
end

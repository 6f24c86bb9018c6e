-- Returns one page of the tasks in a state, in the order in which they leave it.
--
-- KEYS[1] <prefix>:{<queue>}:<state>; aggregating: <prefix>:{<queue>}:groups
-- KEYS[2] <prefix>:{<queue>}:lease
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] pending, active, scheduled, retry, archived, completed or aggregating
-- ARGV[3] number of tasks to skip
-- ARGV[4] maximum number of tasks
-- Returns {number of ids read, rows}; three values for each row: id, {message, result}, Unix ms or nil.
--   An id without a task has no row, and a page that would be too long ends early.

local from, size = tonumber(ARGV[3]), tonumber(ARGV[4])
local ids, scores = {}, {}
if ARGV[2] == 'pending' or ARGV[2] == 'active' then
  -- Both lists grow at the head, and the tail is leased first.
  local page = redis.call('LRANGE', KEYS[1], -(from + size), -(from + 1))
  for n = #page, 1, -1 do
    ids[#ids + 1] = page[n]
  end
  if ARGV[2] == 'active' and #ids > 0 then
    scores = redis.call('ZMSCORE', KEYS[2], unpack(ids))
  end
else
  local skip = from
  for _, key in ipairs(ARGV[2] == 'aggregating' and groups(ARGV[1]) or { KEYS[1] }) do
    local page = {}
    if #ids < size and (ARGV[2] ~= 'aggregating' or group_size(key) > skip) then
      page = redis.call('ZRANGE', key, skip, skip + size - #ids - 1, 'WITHSCORES')
      skip = 0
    elseif #ids < size then
      skip = skip - group_size(key)
    end
    for n = 1, #page, 2 do
      ids[#ids + 1] = page[n]
      scores[#ids] = page[n + 1]
    end
  end
end

local rows, passed, bytes = {}, 0, 0
for n, id in ipairs(ids) do
  if bytes >= max_reply then
    break
  end
  passed = n
  local task = redis.pcall('HMGET', ARGV[1] .. 't:' .. id, 'msg', 'result', 'state', 'taskseal_lease')
  if task.err == nil and (task[1] or task[3]) then
    local message, result = bounded(task[1]), bounded(task[2])
    bytes = bytes + (message and #message or 0) + (result and #result or 0)
    rows[#rows + 1] = shown(id)
    rows[#rows + 1] = { message, result }
    rows[#rows + 1] = at_ms(scores[n], task[4])
  end
end
return { passed, rows }

-- Returns one task by id, in any state.
--
-- KEYS[1] <prefix>:{<queue>}:t:<id>
-- ARGV[1] <prefix>:{<queue>}:
-- ARGV[2] id
-- Returns nil, or {state, {message, result}, Unix ms or nil}; a message or result that is too long is nil, and so is a
--   task whose state is

local task = redis.call('HMGET', KEYS[1], 'state', 'msg', 'result', 'taskseal_lease')
local state = bounded(task[1], 32)
if not state then
  return false
end
local at = false
if state == 'active' then
  at = redis.call('ZSCORE', ARGV[1] .. 'lease', ARGV[2])
elseif state == 'scheduled' or state == 'retry' or state == 'archived' or state == 'completed' then
  at = redis.call('ZSCORE', ARGV[1] .. state, ARGV[2])
elseif state == 'aggregating' then
  at = grouped_since(ARGV[1], KEYS[1], ARGV[2])
end
return { state, { bounded(task[2]), bounded(task[3]) }, at_ms(at, state == 'active' and task[4]) }

-- The server's clock, so that the clocks of producers and workers need not agree.
-- Part of other scripts. Scores are Unix seconds, as asynq's tools expect them, with milliseconds.

-- Returns Unix seconds as a number, and the reply of TIME.
local function clock()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000, time
end

-- Returns Unix nanoseconds as text: a double cannot represent them.
local function nanoseconds(time)
  return time[1] .. string.format('%06d000', time[2])
end

local function score(seconds)
  return string.format('%.3f', seconds)
end

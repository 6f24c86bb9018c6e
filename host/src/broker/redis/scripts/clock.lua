-- The server's clock, so that the hosts of producers and workers need not agree on the time.
-- Part of other scripts. Scores are unix seconds, as asynq's tools read them, with milliseconds.

-- Returns unix seconds as a number, and the answer it was made of.
local function clock()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000, time
end

-- Unix nanoseconds as text: a double cannot hold them.
local function nanoseconds(time)
  return time[1] .. string.format('%06d000', time[2])
end

local function score(seconds)
  return string.format('%.3f', seconds)
end

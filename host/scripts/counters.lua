-- The statistics asynq keeps: totals, and one counter a UTC day that lives for 90 days.
-- Part of other scripts. A counter that was tampered with never stops a task, hence pcall.

-- Days since 1970 to the proleptic Gregorian calendar; Redis offers no os.date.
local function utc_day(seconds)
  local days = math.floor(seconds / 86400) + 719468
  local era = math.floor(days / 146097)
  local of_era = days - era * 146097
  local year = math.floor(
    (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400
  if month < 10 then
    month = month + 3
  else
    month = month - 9
    year = year + 1
  end
  return string.format('%04d-%02d-%02d', year, month, day)
end

local function count(now, processed_key, processed, failed_key, failed)
  local day = utc_day(now)
  local restart = false
  for _, counter in ipairs({ { processed_key, processed }, { failed_key, failed } }) do
    local key, by = counter[1], counter[2]
    if by > 0 then
      local daily = key .. ':' .. day
      if redis.pcall('INCRBY', daily, by) == by then
        redis.call('EXPIREAT', daily, math.floor(now) + 7776000)
      end
      local total = redis.pcall('INCRBY', key, by)
      restart = restart or (type(total) == 'table' and string.find(total.err, 'overflow') ~= nil)
    end
  end
  if restart then
    redis.call('MSET', processed_key, processed, failed_key, failed)
  end
end

-- The statistics of asynq: totals, and a counter for each UTC day that expires after 90 days.
-- Part of other scripts. A counter that was tampered with must not fail a task, hence pcall.

-- Converts days since 1970 to the proleptic Gregorian calendar; Redis has no os.date.
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

-- Adds to a counter. Returns true if the total would overflow.
local function add(key, by, day, now)
  -- As text: Redis formats every number argument with seventeen digits.
  local text = string.format('%d', by)
  local daily = key .. ':' .. day
  if redis.pcall('INCRBY', daily, text) == by then
    redis.call('EXPIREAT', daily, math.floor(now) + 7776000)
  end
  local total = redis.pcall('INCRBY', key, text)
  return type(total) == 'table' and string.find(total.err, 'overflow') ~= nil
end

local function count(now, processed_key, processed, failed_key, failed)
  local day = utc_day(now)
  local is_full = processed > 0 and add(processed_key, processed, day, now)
  is_full = (failed > 0 and add(failed_key, failed, day, now)) or is_full
  if is_full then
    redis.call('MSET', processed_key, processed, failed_key, failed)
  end
end

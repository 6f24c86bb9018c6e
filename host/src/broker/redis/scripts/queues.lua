-- Returns one page of the names of queues.
--
-- KEYS[1] <prefix>:queues
-- ARGV[1] cursor, 0 at first
-- ARGV[2] about how many names to look at
-- Returns {next cursor, 0 after the last page; {name, ...}}
--
-- A process that can write to Redis can add names of 512 MB: names that are too long for a queue are not returned.

local page = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local names = {}
for _, name in ipairs(page[2]) do
  if #name <= 64 then
    names[#names + 1] = name
  end
end
return { page[1], names }

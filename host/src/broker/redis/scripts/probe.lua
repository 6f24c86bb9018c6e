-- Checks that a key can be written and deleted.
--
-- KEYS[1] <prefix>:taskseal:probe
-- ARGV[1] lifetime of the key, in milliseconds, if its deletion fails
-- Returns 1

redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return redis.call('DEL', KEYS[1])

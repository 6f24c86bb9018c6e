-- Which errors of a key belong to that key. Part of other scripts.

-- Ends the script with the error of a reply, unless it says that the key has another type. Any other error, such as a
-- missing right, says nothing about the key: the task must be neither dropped nor called lost.
local function raise_unless_wrong_type(reply)
  if type(reply) == 'table' and reply.err and not string.find(reply.err, 'WRONGTYPE', 1, true) then
    error(reply.err)
  end
end

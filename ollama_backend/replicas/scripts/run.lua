-- Run the operation ARGV[1] for the replica ARGV[2]. One without a lease must `sync` first.
if ARGV[1] ~= 'sync' and not is_alive(ARGV[2]) then return 'unknown' end
return ops[ARGV[1]](unpack(ARGV, 2))

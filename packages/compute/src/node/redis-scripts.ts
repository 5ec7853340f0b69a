/**
 * What the Redis store does atomically. Keys of one entity share a hash slot, so that it works in a cluster too.
 *
 * Entity: a hash with `v` the newest version ever stored, 32 hex digits, which sort alike in every locale; `r` and `k` record and kind of that version;
 * `p` and `q` those of the version before, `w` its version.
 */

/** KEYS: entity. ARGV: version, record, kind. 1 when it was stored. */
export const PUT = `
local before = redis.call('HGET', KEYS[1], 'v')
if before and ARGV[1] <= before then return 0 end
local record = redis.call('HMGET', KEYS[1], 'r', 'k')
if record[1] then redis.call('HSET', KEYS[1], 'w', before, 'p', record[1], 'q', record[2]) end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'r', ARGV[2], 'k', ARGV[3])
return 1
`;

/** KEYS: entity. 1 when there was a snapshot. */
export const DELETE = `return math.min(1, redis.call('HDEL', KEYS[1], 'r', 'k', 'p', 'q', 'w'))`;

/**
 * KEYS: entity. ARGV: the version found to be damaged. Puts the one before in its place, so that what the daemon becomes from there is not
 * taken for older. 1 when it did.
 */
export const FALL_BACK = `
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
local before = redis.call('HMGET', KEYS[1], 'w', 'p', 'q')
if not before[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', before[1], 'r', before[2], 'k', before[3])
redis.call('HDEL', KEYS[1], 'w', 'p', 'q')
return 1
`;

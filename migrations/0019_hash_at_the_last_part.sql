-- The state of an upload's digest at the end of the last whole part in a bucket: where it goes back to when what is short of
-- a part is not what was put there.
alter table upload add column part_hash_state text;

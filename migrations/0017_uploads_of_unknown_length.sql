-- Whether the file's length is still unknown. Its blob's size is then the room that is reserved so far, always more than
-- has come. The version before reads it as the length of the file: such uploads wait until all servers are updated
-- (docs/operations.md).
alter table upload add column open_ended boolean not null default false;
-- The metadata of a tus upload as it was sent.
alter table upload add column metadata text;

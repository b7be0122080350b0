-- Whether the file's length is still unknown. Its blob's size is then the room that is reserved so far, always more than
-- has come: the version before reads it as the length of a file that is not complete.
alter table upload add column open_ended boolean not null default false;
-- The metadata of a tus upload as it was sent.
alter table upload add column metadata text;

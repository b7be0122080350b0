-- Bytes of deleted revisions stay for a while: see src/catalog/garbage.rs. None is at once.
alter table blob add column remove_after timestamptz;

-- Which catalog this is; the store has it, too, so that no other catalog takes its bytes for garbage.
alter table catalog_state add column identity uuid;

-- Why the catalog takes no changes at the moment: it is being moved, or has moved.
alter table catalog_state add column frozen text;

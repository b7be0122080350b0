-- The order of an image's promotions in all its channels, whatever the clock said. Those before have none, and come before.
alter table promotion add column number bigint;

-- A promotion that took the image out of the channel: how its files leave the tree. Its revision is the one that was
-- withdrawn. A column of its own: in kind the version before finds a word that it knows, and rolled_back keeps it from going
-- back there.
alter table promotion add column withdrawal text;
-- Clients of a withdrawn image are told so for good.
create index promotion_withdrawal on promotion (image_id) where withdrawal is not null;

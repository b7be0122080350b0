-- What has been put into effect of a promotion's rollout. The terms themselves are in rollout; time decides what clients are
-- told. Promotions from before reached all clients at once.
alter table promotion add column changes bigint not null default 0;
alter table promotion add column under_way boolean not null default false;
alter table promotion add column steps_told bigint not null default 0;
alter table promotion add column halted jsonb;
alter table promotion add column reports_since timestamptz;

-- A client's own revision in a channel, whatever is assigned there.
create table pin (
    image_id uuid not null references image (id),
    channel_id uuid not null references channel (id),
    client_key text not null,
    client text not null,
    revision_id uuid not null references revision (id),
    note text not null,
    created_by text not null,
    created_at timestamptz not null,
    primary key (image_id, channel_id, client_key)
);
create index pin_revision on pin (revision_id);

-- How much of the catalog a server can read: 1 from rollouts on. A server of an earlier version writes none.
alter table replica add column reads bigint not null default 0;

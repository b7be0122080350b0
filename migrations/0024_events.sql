-- What happened, in the order of the commits: the place is given under the lock of the one row of event_head, which is held until
-- the commit. Rows are removed after events.keep.
create table event (
    position bigint not null,
    kind text not null,
    at timestamptz not null,
    actor text not null,
    subject text not null,
    image text,
    channel text,
    revision bigint,
    data jsonb not null,
    constraint event_key primary key (position)
);
create index event_at on event (at);

-- The newest place. The generation tells the events of this catalog from those of another one, such as that of a backup.
create table event_head (
    id bigint not null,
    position bigint not null,
    generation uuid,
    constraint event_head_key primary key (id)
);
insert into event_head (id, position) values (1, 0);

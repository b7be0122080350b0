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

-- The receivers of events. The old secret signs beside the new one until old_secret_until.
create table webhook (
    id uuid not null,
    name text not null,
    name_key text not null,
    url text not null,
    types jsonb not null,
    images jsonb not null,
    secret text not null,
    old_secret text,
    old_secret_until timestamptz,
    active boolean not null,
    ended text,
    version bigint not null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint webhook_key primary key (id),
    constraint webhook_name_key unique (name_key)
);

-- The place up to which a webhook's events have become deliveries.
create table webhook_place (
    webhook_id uuid not null,
    position bigint not null,
    constraint webhook_place_key primary key (webhook_id)
);

-- An event for one webhook. Waiting ones are tried at next_at; one that has been tried since due_since for long enough is set aside.
create table delivery (
    webhook_id uuid not null,
    position bigint not null,
    event_id text not null,
    kind text not null,
    body text not null,
    state text not null,
    attempts bigint not null,
    due_since timestamptz not null,
    next_at timestamptz not null,
    last_at timestamptz,
    last_status bigint,
    last_error text,
    constraint delivery_key primary key (webhook_id, position)
);
create index delivery_waiting on delivery (webhook_id, position) where state = 'waiting';
create index delivery_over on delivery (last_at) where state <> 'waiting';

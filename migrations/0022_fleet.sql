-- The record of clients: for each client, image and channel, what the client last asked and was told. One row is updated
-- every time the client asks, so no column that changes with each check is in an index.
create table client_record (
    -- The client's id in lower case, and as the client gave it last.
    client_key text not null,
    image_id uuid not null,
    channel_id uuid not null,
    client text not null,
    -- What the client has; 0 for nothing.
    revision bigint not null,
    -- In lower case.
    client_group text,
    -- What it was told; null if it has only reported.
    action text,
    reason text,
    -- The promotion whose revision it was offered.
    promotion_id uuid,
    address text not null,
    agent text not null,
    -- Whether it has ever asked with credentials: the limit of the record spares such clients.
    authenticated boolean not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    -- The day of last_seen, in days since 1970 (UTC): an index of it changes once a day, and not with every check.
    seen_day bigint not null,
    -- Its last report.
    status text,
    reported_revision bigint,
    reported_at timestamptz,
    error text,
    constraint client_record_key primary key (client_key, image_id, channel_id)
);

-- The lists of clients, which are in the order of the ids.
create index client_record_image on client_record (image_id, client_key, channel_id);
create index client_record_revision on client_record (image_id, channel_id, revision, client_key);
create index client_record_group on client_record (client_group, client_key) where client_group is not null;
create index client_record_day on client_record (seen_day);
create index client_record_status on client_record (status, client_key) where status is not null;

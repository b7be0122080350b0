-- What clients reported of a promotion: one row for each client, with its last report. A row counts for a halt with the last end
-- that counted: who reported it, and when.
create table report (
    promotion_id uuid not null references promotion (id),
    client_key text not null,
    client text not null,
    status text not null,
    bytes bigint,
    milliseconds bigint,
    error text,
    first_at timestamptz not null,
    reported_at timestamptz not null,
    counted text,
    counted_caller text,
    counted_at timestamptz,
    constraint report_key primary key (promotion_id, client_key)
);
create index report_caller on report (promotion_id, counted_caller) where counted is not null;

-- How far a promotion was at some moments, at most one in a minute.
create table progress_point (
    promotion_id uuid not null references promotion (id),
    at timestamptz not null,
    on_revision bigint not null,
    clients bigint not null,
    downloading bigint not null,
    applied bigint not null,
    failed bigint not null,
    constraint progress_point_key primary key (promotion_id, at)
);

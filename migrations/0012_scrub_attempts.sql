-- Stored bytes that could not be read, and when that was last tried: others come first meanwhile.
create table unread (
    blob_id uuid primary key references blob (id),
    tried_at timestamptz not null
);
create index blob_oldest_reading on blob ((coalesce(verified_at, created_at)));

-- When stored bytes were last read and found to be what they should be; none since they came.
alter table blob add column verified_at timestamptz;
-- Since when somebody wants them to be read again, whatever their age.
alter table blob add column scrub_wanted_at timestamptz;

-- Stored bytes that were found damaged.
create table damage (
    blob_id uuid primary key references blob (id),
    found_at timestamptz not null,
    what text not null,
    -- Until then copies of it in the tree are left for the repair to read.
    rescue_until timestamptz
);

-- What quarantined revisions were before. A table of its own, as published_object.
create table quarantine (
    revision_id uuid primary key references revision (id),
    state_before text not null,
    since timestamptz not null
);

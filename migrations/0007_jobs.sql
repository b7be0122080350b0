-- Background work that one server at a time does for all of them: see src/catalog/job.rs.
create table job (
    name text primary key,
    -- The server that is at it; none between rounds.
    holder uuid,
    -- When a server that tells nothing any more counts as gone.
    held_until timestamptz not null,
    -- The catalog's version that the last round has brought about, and when the next is due without a change.
    done_version bigint not null,
    due_at timestamptz not null
);

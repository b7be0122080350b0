-- Chunk lists and deltas of sealed files (docs/deltas.md): they save clients bytes, and can be made again at any time.
create table transfer_file (
    id uuid primary key,
    -- The file that it leads to.
    revision_id uuid not null references revision (id),
    role text not null,
    -- The revision whose file of the same role a delta starts from; null for a chunk list.
    base_revision_id uuid references revision (id),
    state text not null,
    -- The bytes, their number and their digest; null unless the state is 'made'.
    blob_id uuid references blob (id),
    size bigint not null,
    digest text,
    -- The bytes that a client without it would fetch.
    instead_of bigint not null,
    cpu_milliseconds bigint not null,
    made_at timestamptz not null
);
create unique index transfer_file_list on transfer_file (revision_id, role) where base_revision_id is null;
create unique index transfer_file_delta on transfer_file (revision_id, role, base_revision_id)
    where base_revision_id is not null;
create index transfer_file_revision on transfer_file (revision_id);
create index transfer_file_blob on transfer_file (blob_id);

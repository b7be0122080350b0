-- Resumable uploads: sessions that fill one file of one draft, whatever protocol speaks for them.

-- How many bytes of an upload are on stable storage is the blob's `received`.
create table upload (
    id uuid primary key,
    revision_id uuid not null references revision (id),
    role text not null,
    -- No reference: a complete upload may be asked about after its file was replaced.
    blob_id uuid not null,
    protocol text not null,
    state text not null,
    -- The digest that the uploader named, if any.
    digest text,
    -- What the uploader demands of the file that has the role (If-Match), as JSON; asked again at the end.
    condition text,
    -- The state of SHA-256 over the bytes that are on stable storage.
    hash_state text not null,
    -- Every writer draws a number; the highest is the newest, and the only one to get the session.
    newest_claim bigint not null,
    -- The number of the writer that has it, or had it last: what others write is refused.
    held_claim bigint not null,
    -- The server whose writer has it; none between writers.
    holder uuid,
    -- When a writer of another server that tells nothing any more counts as gone.
    held_until timestamptz not null,
    -- The start of the machine under which the holder writes, if what it wrote past `received` may be
    -- believed after a crash of the server alone.
    holder_boot text,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index upload_revision on upload (revision_id);
create index upload_blob on upload (blob_id);
create index upload_progress on upload (updated_at);
create index upload_open on upload (created_by) where state = 'receiving';

-- In a bucket a blob grows as a multipart upload. Its id, noted before the first part is sent, and the
-- size of its parts, which stays as it was begun whatever later versions choose.
alter table blob add column multipart text;
alter table blob add column part_size bigint;
-- The object with the bytes that are short of a whole part.
alter table blob add column tail text;
-- Its parts cannot be read back, only named when it is completed.
create table blob_part (
    blob_id uuid not null references blob (id),
    number bigint not null,
    part text not null,
    primary key (blob_id, number)
);

-- What BITS calls a session: it has a name before it has a size, and so before there is an upload.
create table bits_session (
    -- Also that of its upload. No reference: the upload's row goes by itself, before or after this one.
    id uuid primary key,
    -- The destination's file name, as asked for.
    file_name text not null,
    image text not null,
    role text not null,
    state text not null,
    -- The draft that gets the file, and the file's size: none before the first fragment, which tells it.
    revision_id uuid references revision (id),
    size bigint,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index bits_session_owner on bits_session (created_by);
create index bits_session_revision on bits_session (revision_id);
create index bits_session_age on bits_session (updated_at);

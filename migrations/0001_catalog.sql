-- The catalog. One text for SQLite and PostgreSQL: see migrations/README.md for the common dialect.

-- One row: raised by every change that the snapshot shows, so that every process notices.
create table catalog_state (
    id bigint primary key,
    version bigint not null,
    -- The version that last changed channels, which concern every image.
    channels_changed_in bigint not null
);
insert into catalog_state (id, version, channels_changed_in) values (1, 0, 0);

create table image (
    id uuid primary key,
    name text not null,
    name_key text not null constraint image_name_key unique,
    kind text not null,
    extension text not null,
    description text not null,
    labels jsonb not null,
    keep_revisions bigint,
    next_revision bigint not null,
    -- The version of the catalog that last changed the image or what it offers.
    changed_in bigint not null,
    version bigint not null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);
create index image_changed on image (changed_in);

create table revision (
    id uuid primary key,
    image_id uuid not null references image (id),
    number bigint not null,
    state text not null,
    notes text not null,
    labels jsonb not null,
    protected boolean not null,
    version bigint not null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    sealed_at timestamptz,
    constraint revision_number unique (image_id, number)
);
create index revision_drafts on revision (updated_at) where state = 'draft';
create index revision_revoked on revision (image_id) where state = 'revoked';

-- Stored bytes, or the reservation of bytes that are arriving.
create table blob (
    id uuid primary key,
    key text not null constraint blob_key unique,
    state text not null,
    size bigint not null,
    received bigint not null,
    instance uuid not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index blob_unsettled on blob (state) where state <> 'stored';

create table file (
    revision_id uuid not null references revision (id),
    role text not null,
    blob_id uuid not null references blob (id),
    size bigint not null,
    digest text not null,
    primary key (revision_id, role)
);
create index file_blob on file (blob_id);

create table channel (
    id uuid primary key,
    name text not null,
    name_key text not null constraint channel_name_key unique,
    folder text not null,
    folder_key text not null constraint channel_folder_key unique,
    read_access text not null,
    keep_old bigint not null,
    tree_during_rollout boolean not null,
    promoters jsonb not null,
    requires_channel text,
    approvals bigint not null,
    sequence bigint not null,
    issued_at timestamptz not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);

create table promotion (
    id uuid primary key,
    image_id uuid not null references image (id),
    channel_id uuid not null references channel (id),
    revision_id uuid not null references revision (id),
    epoch bigint not null,
    kind text not null,
    mandatory boolean not null,
    deadline timestamptz,
    rollout jsonb not null,
    note text not null,
    rolled_back boolean not null,
    created_by text not null,
    created_at timestamptz not null,
    constraint promotion_epoch unique (image_id, channel_id, epoch)
);
create index promotion_revision on promotion (revision_id);

create table assignment (
    image_id uuid not null references image (id),
    channel_id uuid not null references channel (id),
    promotion_id uuid not null references promotion (id),
    primary key (image_id, channel_id)
);

-- Every file that imagedepot put into the tree; what is not here is not ours.
create table publication (
    path text primary key,
    channel_id uuid not null references channel (id),
    revision_id uuid not null references revision (id),
    role text not null,
    blob_id uuid not null references blob (id),
    digest text not null,
    state text not null,
    withdraw_at timestamptz
);
create index publication_blob on publication (blob_id);
create index publication_revision on publication (revision_id);

-- The manifests (channel.json) that imagedepot put into the tree.
create table manifest (
    path text primary key
);

create table account (
    id uuid primary key,
    name text not null,
    name_key text not null constraint account_name_key unique,
    password_hash text not null,
    roles jsonb not null,
    images jsonb not null,
    disabled boolean not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- Answers that were given under an Idempotency-Key.
create table idempotency (
    caller text not null,
    key text not null,
    fingerprint text not null,
    answer jsonb,
    instance uuid not null,
    created_at timestamptz not null,
    primary key (caller, key)
);
create index idempotency_age on idempotency (created_at);

create table audit (
    id uuid primary key,
    at timestamptz not null,
    caller text not null,
    action text not null,
    subject text not null,
    state_before jsonb,
    state_after jsonb,
    request_id text
);

-- The metadata of The Update Framework over the tree, and the keys that sign it.
create table trust_key (
    -- The name of the key: the SHA-256 of its public half as TUF writes it, in hex.
    id text primary key,
    -- The secret half, in PKCS #8 and hex; null once no role needs it.
    secret text,
    created_at timestamptz not null
);

-- The highest number that was given out to a file of each role, whether or not the file still exists: a number is signed
-- once. The one of the timestamp is compared and raised by each signing, so that of two at once only one is committed.
create table trust_number (
    trust_role text primary key,
    version bigint not null
);

create table trust_file (
    trust_role text not null,
    version bigint not null,
    content text not null,
    digest text not null,
    -- Identifies what the file says and which keys are to say it, but not its number and its expiry.
    meaning text not null,
    expires_at timestamptz not null,
    -- Since when there is a newer one; null for the file in force.
    superseded_at timestamptz,
    -- The version of the catalog that it came with.
    changed_in bigint not null,
    constraint trust_file_key primary key (trust_role, version)
);

-- The documents of the tree as the signed metadata in force describes them, where keys that are elsewhere have signed it:
-- readers get these until the next signing.
create table trust_document (
    path text primary key,
    content text not null
);

create index trust_file_in_force on trust_file (changed_in) where superseded_at is null;
create index trust_file_superseded on trust_file (superseded_at) where superseded_at is not null;

alter table catalog_state add column trust_changed_in bigint not null default 0;

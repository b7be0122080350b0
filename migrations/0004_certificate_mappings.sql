-- Which user a client certificate stands for.

create table certificate_mapping (
    id uuid primary key,
    name text not null,
    name_key text not null constraint certificate_mapping_name_key unique,
    -- The order of those with rules, from 1; 0 for a certificate of its own.
    position bigint not null,
    -- Either a certificate (base64 of its DER, and its SHA-256) or rules.
    certificate text,
    fingerprint text constraint certificate_mapping_fingerprint unique,
    rules jsonb,
    denies boolean not null,
    -- One that denies may do without.
    account_id uuid references account (id),
    version bigint not null,
    created_by text not null,
    created_at timestamptz not null
);
create index certificate_mapping_order on certificate_mapping (position, name_key);
create index certificate_mapping_account on certificate_mapping (account_id);

-- The version of the catalog that last changed certificate mappings.
alter table catalog_state add column mappings_changed_in bigint not null default 0;

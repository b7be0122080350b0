-- API tokens, and the keys that sign them.

-- Ed25519 keys, base64url without padding. The newest one that is not retired signs.
create table signing_key (
    -- What tokens name their key by.
    id uuid primary key,
    -- Whom the tokens say they are from: the same for all keys of one catalog, and no other's.
    issuer text not null,
    -- PKCS #8. Only the key that signs has it: of those before it, the public half is enough.
    private_key text,
    public_key text not null,
    created_at timestamptz not null,
    -- Since when its tokens are void.
    retired_at timestamptz
);

-- The token itself is kept nowhere: what its holder may, and whether it is still good, stands here.
create table api_token (
    -- The token's `jti`.
    id uuid primary key,
    name text not null,
    name_key text not null,
    roles jsonb not null,
    images jsonb not null,
    signing_key_id uuid not null references signing_key (id),
    created_by text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    -- To the hour.
    last_used_at timestamptz
);
create index api_token_name on api_token (name_key);
create index api_token_expiry on api_token (expires_at);
create index api_token_key on api_token (signing_key_id);

-- The version of the catalog that last changed either.
alter table catalog_state add column tokens_changed_in bigint not null default 0;

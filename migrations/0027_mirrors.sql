-- The record of mirrors: copies of channels at other sites, with what each of them told last. A mirror tells again every
-- minute, so no column but the key is in an index.
create table mirror (
    -- The mirror's name in lower case, and as the mirror gave it last.
    name_key text not null,
    name text not null,
    kind text not null,
    -- The version of its program.
    version text,
    -- For each channel that it holds: the name, the sequence that it has, and when that was last the channel's own.
    channels jsonb not null,
    bytes bigint not null,
    bytes_missing bigint not null,
    error text,
    reported_by text not null,
    reported_at timestamptz not null,
    constraint mirror_key primary key (name_key)
);

-- The servers on this catalog, where there can be several: each has a row while it runs, with its program's version and
-- the version of the catalog that it answers from.
create table replica (
    instance uuid primary key,
    program text not null,
    loaded bigint not null,
    seen_at timestamptz not null
);

-- The newest backup that was taken of this catalog, for who watches: the place of backups has all of them.
create table backup (
    name text primary key,
    taken_at timestamptz not null
);

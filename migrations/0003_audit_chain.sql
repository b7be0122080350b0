-- The audit is a chain: each row has a hash over itself and the hash of the row before it, so that a row
-- that was altered, removed or moved is found out. Rows from before have none.
alter table audit add column sequence bigint;
alter table audit add column hash text;
-- Where the request came from; none for the command line and the server's own work.
alter table audit add column client_address text;
create unique index audit_sequence on audit (sequence);

-- The newest row, whose removal would show nowhere else. One row, which every change locks.
create table audit_head (
    id bigint primary key,
    sequence bigint not null,
    hash text not null
);
insert into audit_head (id, sequence, hash) values (1, 0, '');

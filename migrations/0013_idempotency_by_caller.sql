-- A caller's oldest answers make room for the newest.
create index idempotency_caller_age on idempotency (caller, created_at);

-- What a bucket calls the bytes of a published object (its ETag): by it a listing tells whether they still stand there.
-- A table of its own: servers of the version before, which still run while this is applied, ask for all of a publication.
create table published_object (
    path text primary key,
    tag text not null
);

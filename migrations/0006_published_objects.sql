-- What a bucket calls the bytes of a published object (its ETag): by it a listing tells whether they still stand there.
alter table publication add column tag text;

-- Epochs go on above this where a restored or rebuilt catalog cannot know the last ones that clients were told.
create table epoch_floor (
    image_id uuid not null references image (id),
    channel_id uuid not null references channel (id),
    epoch bigint not null,
    primary key (image_id, channel_id)
);

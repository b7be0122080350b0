-- Promotions, and changes of rollouts, that wait for the word of other people. At most one for each image and channel.
create table pending_promotion (
    id uuid primary key,
    image_id uuid not null references image (id),
    channel_id uuid not null references channel (id),
    revision_id uuid not null references revision (id),
    -- The promotion in force whose terms are to change; null for a new promotion.
    changes_promotion uuid references promotion (id),
    terms jsonb not null,
    -- The caller, and the person behind it: whoever made a token.
    requested_by text not null,
    person text not null,
    requested_at timestamptz not null,
    constraint pending_promotion_place unique (image_id, channel_id)
);

create table approval (
    pending_id uuid not null references pending_promotion (id),
    person text not null,
    approved_by text not null,
    approved_at timestamptz not null,
    constraint approval_key primary key (pending_id, person)
);

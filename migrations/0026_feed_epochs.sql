-- A database that is restored from a backup gives positions again that readers of feeds have seen already, to other events.
-- Their cursors name the epoch of the feed they are from; those of another begin at the end of what the backup had.
alter table feeds
  add column epoch      bigint not null default 0, -- when it began, in milliseconds since 1970; 0: with the feed itself
  add column epoch_from bigint;                    -- the position that was its last then

-- Which database this is: another one than it was means that it was restored.
create table database_identity (
  only_one boolean primary key default true constraint database_identity_one_check check (only_one),
  identity text not null
);

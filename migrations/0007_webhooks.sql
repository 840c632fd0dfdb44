-- Webhooks their owners can look after, deliveries that cost nothing while they wait, and gaps that are told.

alter table webhooks
  add column description           text,
  add column headers               jsonb not null default '{}', -- the receiver's own, such as Authorization; values are never shown
  add column previous_secret       text, -- signs too until previous_secret_until, so that a rotation breaks nobody
  add column previous_secret_until timestamptz,
  add column disabled_reason       text
             constraint webhooks_disabled_reason_check check (disabled_reason in ('user', 'gone', 'failing')),
  add column disabled_at           timestamptz,
  add column updated_at            timestamptz not null default now();

-- What is owed to one webhook, as one row: a worker looks at due_at alone, so ten thousand webhooks with nothing due
-- cost one index probe. Ingest moves due_at forward under the row's lock, so no wake-up is lost to a claim at the same time.
create table webhook_queues (
  webhook_id    bigint primary key references webhooks on delete cascade,
  user_id       bigint not null, -- shares are counted per user as well
  due_at        timestamptz, -- when to look for deliveries; null: nothing is owed, or the webhook is disabled
  holder        text, -- the worker whose deliveries keep the order; another takes over when held_until is past
  held_until    timestamptz,
  failures      integer not null default 0, -- different deliveries that failed since the last success
  last_failed   bigint, -- one delivery that keeps failing is not a receiver that is down
  failing_since timestamptz, -- the first failure after the last success
  opened        integer not null default 0, -- how often the breaker opened in a row, for the back-off
  open_until    timestamptz -- no attempt before this moment, then one at a time until one succeeds
) with (fillfactor = 70);
create index webhook_queues_due_idx on webhook_queues (due_at) where due_at is not null;

insert into webhook_queues (webhook_id, user_id, due_at)
select w.id, w.user_id, case when w.enabled then now() end from webhooks w where w.deleted_at is null;

alter table deliveries
  add column claims        integer not null default 0, -- the fence: a late outcome names a claim that is no longer the last
  add column attempts_from integer not null default 0; -- attempts before the last redelivery: the schedule starts again there
comment on column deliveries.attempts is 'how often it was tried';
drop index deliveries_webhook_idx;
create index deliveries_webhook_idx on deliveries (webhook_id, created_at, id);
create index deliveries_failed_idx on deliveries (webhook_id, created_at, id) where status = 'failed';

-- Missed messages that must still be asked for, one row per number; a further outage widens it.
create table gaps (
  id              bigint generated always as identity primary key,
  phone_number_id bigint not null constraint gaps_phone_number_key unique references phone_numbers on delete cascade,
  server_instance text not null,
  from_at         timestamptz not null,
  until_at        timestamptz not null,
  due_at          timestamptz not null,
  attempts        integer not null default 0,
  created_at      timestamptz not null default now()
);
create index gaps_due_idx on gaps (due_at);

-- When each engine server was last known to be well, by any of our processes: a hole in it is an outage, theirs or ours.
create table server_sights (
  server_name text primary key,
  seen_at     timestamptz not null
);

-- How far the pruner has come where a row is emptied, not deleted.
create table prune_marks (
  name     text primary key,
  position bigint not null
);
create index events_created_idx on events using brin (created_at);
create index unprocessed_events_created_idx on unprocessed_events using brin (created_at);

-- The ledger of messages, and the lanes that send them one after the other.

create table messages (
  id              bigint generated always as identity primary key,
  user_id         bigint not null,
  phone_number_id bigint not null references phone_numbers on delete cascade,
  direction       text not null constraint messages_direction_check check (direction in ('outgoing', 'incoming')),
  source          text not null constraint messages_source_check check (source in ('api', 'phone', 'contact')),
  type            text not null,
  recipient       text not null, -- the chat: digits, a group or a lid; of an incoming message its sender's chat
  content         jsonb not null, -- what it says; media bytes are in media
  status          text not null
                  constraint messages_status_check check (status in
                    ('queued', 'sending', 'sent', 'delivered', 'read', 'failed', 'unconfirmed', 'expired', 'canceled', 'received')),
  history         jsonb not null default '[]', -- every step: { status, at, code? }
  error_code      text,
  error_message   text,
  priority        smallint not null default 0, -- 0 single, 1 bulk: lower goes first
  attempts        integer not null default 0, -- claims so far; with process_id it fences late outcomes
  engine_errors   integer not null default 0, -- answers that blame the engine, in a row
  process_id      bigint, -- who is sending it
  generation      integer, -- of the instance it was sent through
  starts_at       timestamptz, -- when the engine call of the present claim begins (after the gap)
  send_at         timestamptz, -- scheduled: out of its lane until then
  ttl_seconds     integer not null default 86400, -- runs only while the lane is blocked
  quota_day       date, -- the day it was charged to; null when it costs nothing
  refunded        boolean not null default false,
  whatsapp_id     text, -- key.id
  reply_to        text, -- key.id of the quoted message
  created_at      timestamptz not null default now(),
  sent_at         timestamptz,
  updated_at      timestamptz not null default now()
);
-- WhatsApp's id names a message of a number once, whatever the engine repeats.
create unique index messages_whatsapp_id_key on messages (phone_number_id, whatsapp_id) where whatsapp_id is not null;
-- At most one in flight per number: a stuck send blocks the whole instance in the engine.
create unique index messages_sending_key on messages (phone_number_id) where status = 'sending';
create index messages_queue_idx on messages (phone_number_id, priority, id) where status = 'queued' and send_at is null;
create index messages_scheduled_idx on messages (send_at) where status = 'queued' and send_at is not null;
create index messages_claimed_idx on messages (process_id) where status = 'sending';
create index messages_user_idx on messages (user_id, id desc);
create index messages_number_idx on messages (phone_number_id, id desc);

-- Bytes of an outgoing message, until it needs them no more.
create table media (
  message_id bigint primary key references messages on delete cascade,
  bytes      bytea not null,
  created_at timestamptz not null default now()
);
alter table media alter column bytes set storage external; -- pictures do not shrink

create table lanes (
  phone_number_id bigint primary key references phone_numbers on delete cascade,
  in_flight       bigint, -- the message that is sending
  ready_at        timestamptz not null default now(), -- the gap after the last send ends then
  due_at          timestamptz, -- when to look for the next message; null: nothing is queued
  blocked_reason  text, -- why nothing goes out although it could be due
  blocked_since   timestamptz,
  failures        integer not null default 0, -- sends in a row that did not get through, for the back-off
  paused          boolean not null default false,
  closed          boolean not null default false -- its number is deleted: nothing may enter any more
);
create index lanes_due_idx on lanes (due_at) where in_flight is null and due_at is not null and not paused;
create index lanes_blocked_idx on lanes (blocked_since) where blocked_since is not null;

-- A receipt that overtook the answer of its send waits here for the message to learn its WhatsApp id.
create table early_receipts (
  phone_number_id bigint not null,
  whatsapp_id     text not null,
  status          text not null,
  created_at      timestamptz not null default now(),
  primary key (phone_number_id, whatsapp_id, status)
);

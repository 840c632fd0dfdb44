-- What it takes for a message to tell the truth, and for a caller to try again without fear.

alter table messages
  add column on_ambiguous  text not null default 'keep'
             constraint messages_on_ambiguous_check check (on_ambiguous in ('keep', 'retry')),
  add column fingerprint   bytea, -- of type and words: finds a send again whose answer was lost
  add column reconcile_at  timestamptz, -- unconfirmed: when to look for it in the engine next
  add column looks         smallint not null default 0, -- how often that was done
  add column new_contact   boolean not null default false, -- this recipient never wrote to us
  add column scheduled_for timestamptz, -- what the caller asked for; send_at is cleared when the time has come
  add column retry_of      bigint,
  add column warning       text,
  add column delivered_at  timestamptz,
  add column read_at       timestamptz;

create index messages_reconcile_idx on messages (reconcile_at) where status = 'unconfirmed' and reconcile_at is not null;
create index messages_unconfirmed_idx on messages (phone_number_id) where status = 'unconfirmed';
-- Sent, but WhatsApp has not said a word since; groups report nothing.
create index messages_silent_idx on messages (sent_at)
  where status = 'sent' and source = 'api' and warning is null and recipient not like '%@g.us';
create index messages_sent_idx on messages (phone_number_id, sent_at) where direction = 'outgoing' and sent_at is not null;
create index messages_contact_idx on messages (phone_number_id, recipient) where direction = 'incoming';
create index messages_recipient_idx on messages (user_id, recipient, id desc);
create index messages_status_idx on messages (user_id, status, id desc)
  where status in ('queued', 'sending', 'failed', 'unconfirmed', 'expired', 'canceled');

-- A send the engine told of before, or instead of, answering.
alter table early_receipts
  add column generation  integer,
  add column recipient   text,
  add column fingerprint bytea,
  add column sent_at     timestamptz;
create index early_receipts_created_idx on early_receipts using brin (created_at);

alter table lanes
  add column restricted_until timestamptz, -- until then only messages to known contacts go out
  add column gap_seconds      double precision; -- the number's own; null: the setting

alter table phone_numbers
  add column refusals       integer not null default 0, -- new contacts WhatsApp refused in a row
  add column ack_ratio_1h   double precision, -- of the last hour's messages, those that were delivered
  add column degraded_since timestamptz;

alter table daily_usage
  add column told smallint not null default 0; -- the highest threshold (80, 100) its user was told of

-- Remembered for 24 hours, so that a call can be repeated without sending twice.
create table idempotency_keys (
  user_id    bigint not null references users on delete cascade,
  key        text not null,
  body_hash  bytea not null,
  message_id bigint,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);
create index idempotency_keys_created_idx on idempotency_keys using brin (created_at);

-- Who is on WhatsApp; asking for many at once gets a number banned.
create table contact_checks (
  recipient       text primary key,
  on_whatsapp     boolean not null,
  whatsapp_id     text, -- the real address: Brazil's ninth digit may be gone
  phone_number_id bigint references phone_numbers on delete set null, -- who asked
  checked_at      timestamptz not null default now()
);
create index contact_checks_number_idx on contact_checks (phone_number_id, checked_at);

-- What happened, who wants to know, and every attempt to tell them.

create table webhooks (
  id              bigint generated always as identity primary key,
  user_id         bigint not null references users on delete cascade,
  phone_number_id bigint references phone_numbers on delete cascade, -- null: all numbers of the user
  url             text not null,
  secret          text not null, -- needed in clear to sign
  event_types     text[] not null,
  enabled         boolean not null default true,
  created_at      timestamptz not null default now(),
  deleted_at      timestamptz
);
create index webhooks_user_idx on webhooks (user_id) where deleted_at is null;
create index webhooks_number_idx on webhooks (phone_number_id);

create table events (
  id              bigint generated always as identity primary key,
  public_id       text not null constraint events_public_id_key unique, -- evt_…, the webhook-id of its deliveries
  user_id         bigint not null references users on delete cascade,
  phone_number_id bigint references phone_numbers on delete cascade,
  position        bigint not null, -- per user, without gaps, in commit order
  type            text not null,
  payload         json not null, -- json, not jsonb: the very text that is signed and sent
  created_at      timestamptz not null default now(),
  constraint events_position_key unique (user_id, position)
);
create index events_number_idx on events (phone_number_id);

create table deliveries (
  id              bigint generated always as identity primary key,
  event_id        bigint not null references events on delete cascade,
  webhook_id      bigint not null references webhooks on delete cascade,
  phone_number_id bigint,
  status          text not null default 'pending'
                  constraint deliveries_status_check check (status in ('pending', 'delivered', 'failed')),
  attempts        integer not null default 0, -- also the fence: a late outcome names an attempt that is no longer the last
  due_at          timestamptz not null default now(), -- a lease pushes it into the future
  created_at      timestamptz not null default now(),
  settled_at      timestamptz,
  constraint deliveries_event_webhook_key unique (event_id, webhook_id)
);
create index deliveries_due_idx on deliveries (webhook_id, due_at, id) where status = 'pending';
create index deliveries_webhook_idx on deliveries (webhook_id, id desc);

-- One row per attempt; the payload is a reference, the body itself is the event's.
create table webhook_logs (
  id               bigint generated always as identity primary key,
  phone_number_id  bigint,
  event_type       text not null,
  payload          jsonb not null,
  status_code      integer,
  sent_at          timestamptz not null default now(),
  response_time_ms integer,
  delivery_id      bigint not null references deliveries on delete cascade,
  attempt          integer not null,
  error            text,
  response_body    text -- the first kilobyte
);
create index webhook_logs_delivery_idx on webhook_logs (delivery_id, attempt);
create index webhook_logs_sent_idx on webhook_logs (sent_at desc);

-- The engine repeats what it is not sure we got; retries are byte-equal.
create table ingress_keys (
  key        bytea primary key,
  created_at timestamptz not null default now()
);
create index ingress_keys_created_idx on ingress_keys using brin (created_at);

-- Genuine events that could not be understood: nothing is dropped without a trace.
create table unprocessed_events (
  id          bigint generated always as identity primary key,
  engine_name text not null,
  reason      text not null,
  size        bigint not null,
  body        text, -- the beginning
  created_at  timestamptz not null default now()
);

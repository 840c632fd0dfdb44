-- The pool of Evolution servers, and the WhatsApp numbers placed on them.

create table servers (
  name           text primary key,
  url            text not null,
  listed         boolean not null default true, -- still in EVOLUTION_SERVERS; one that is not gets no new numbers
  healthy        boolean, -- null until the first check
  problem        text, -- why it is not healthy, for the operator
  checked_at     timestamptz,
  last_placed_at timestamptz, -- round robin: the next number goes to the one that waited longest
  created_at     timestamptz not null default now()
);

-- Every running process of ours; work claimed by one that stopped beating is taken over.
create table processes (
  id           bigint generated always as identity primary key,
  role         text not null,
  started_at   timestamptz not null default now(),
  heartbeat_at timestamptz not null default now()
);

create table phone_numbers (
  id                 bigint generated always as identity primary key,
  user_id            bigint not null references users on delete cascade,
  server_instance    text not null references servers (name), -- the owner: it holds the WhatsApp socket
  instance_name      text not null constraint phone_numbers_instance_name_key unique,
  engine_generation  integer not null default 1, -- the engine's name is instance_name + _g<n>; new at each re-creation
  token              text not null constraint phone_numbers_token_key unique, -- good only together with its owner's API key
  phone_number       text,
  display_name       text not null,
  status             text not null default 'created'
                     constraint phone_numbers_status_check
                     check (status in ('created', 'connecting', 'qr_ready', 'connected', 'disconnected')),
  status_reason      text,
  status_changed_at  timestamptz not null default now(),
  reconnecting_since timestamptz, -- connected, but the engine is opening a new socket: a grace of 60 s runs
  restriction        jsonb, -- { type, until }: WhatsApp refuses new conversations
  qr_code            text,
  qr_expires_at      timestamptz,
  webhook_url        text, -- a copy of the first webhook's, written only by db/webhooks
  metadata           jsonb not null default '{}',
  receive_groups     boolean not null default false,
  linking_until      timestamptz, -- somebody is opening a socket on the engine: each connect call opens one more
  first_connected_at timestamptz,
  last_event_at      timestamptz,
  created_at         timestamptz not null default now(),
  deleted_at         timestamptz -- kept for its statistics; no longer counts against the limit
);
create index phone_numbers_user_idx on phone_numbers (user_id, id) where deleted_at is null;
create index phone_numbers_user_all_idx on phone_numbers (user_id);
create index phone_numbers_server_idx on phone_numbers (server_instance) where deleted_at is null;
create index phone_numbers_reconnecting_idx on phone_numbers (reconnecting_since) where reconnecting_since is not null;

-- Instances that must leave the engine; a row lives until the engine answers 404 for the name.
create table instance_removals (
  engine_name     text primary key,
  server_instance text not null references servers (name),
  due_at          timestamptz not null default now(),
  attempts        integer not null default 0,
  created_at      timestamptz not null default now()
);
create index instance_removals_due_idx on instance_removals (due_at);

create table message_stats (
  phone_number_id   bigint not null references phone_numbers on delete cascade,
  date              date not null, -- in the user's time zone
  messages_sent     integer not null default 0, -- all of them
  messages_received integer not null default 0,
  media_sent        integer not null default 0, -- those with a file
  media_received    integer not null default 0,
  primary key (phone_number_id, date)
);

-- Who may use the product, and how much of it.

create table plans (
  plan_type            text primary key,
  max_phone_numbers    integer not null constraint plans_max_phone_numbers_check check (max_phone_numbers >= 0),
  max_messages_per_day integer not null constraint plans_max_messages_check check (max_messages_per_day >= 0)
);

insert into plans values ('starter', 3, 1000), ('business', 10, 5000), ('enterprise', 50, 50000);

create table users (
  id                   bigint generated always as identity primary key,
  email                text not null constraint users_email_key unique, -- lower case
  password_hash        text not null, -- bcrypt over a SHA-256, so that byte 73 counts too
  api_key              text not null, -- only a hint such as wsk_…abcd; the keys are in api_keys, hashed
  full_name            text,
  company_name         text,
  plan_type            text not null references plans,
  max_phone_numbers    integer not null, -- what is enforced; the plan only gave the default
  max_messages_per_day integer not null,
  status               text not null default 'active'
                       constraint users_status_check check (status in ('active', 'suspended')),
  time_zone            text not null, -- where the user's days turn over
  token_version        integer not null default 1, -- raised to end every access token at once
  active_until         timestamptz,
  created_at           timestamptz not null default now(),
  updated_at           timestamptz not null default now()
);

create table api_keys (
  id           bigint generated always as identity primary key,
  user_id      bigint not null references users on delete cascade,
  name         text not null,
  key_hash     bytea not null constraint api_keys_key_hash_key unique, -- SHA-256 of 32 random bytes needs no salt
  hint         text not null,
  created_at   timestamptz not null default now(),
  revoked_at   timestamptz
);
create index api_keys_user_idx on api_keys (user_id);

-- One row per user and day of the user's zone; the limit is checked inside the statement that spends.
create table daily_usage (
  user_id bigint not null references users on delete cascade,
  day     date not null,
  used    integer not null default 0 constraint daily_usage_used_check check (used >= 0),
  primary key (user_id, day)
);

-- Positions are taken under this row's lock, so a reader that saw position n will never miss n - 1.
create table feeds (
  user_id       bigint primary key references users on delete cascade,
  last_position bigint not null default 0
);

-- Written in batches without waiting for the disk: a lost second of request log harms nobody.
create table api_requests (
  id          bigint generated always as identity primary key,
  user_id     bigint,
  endpoint    text not null, -- the route's pattern, never a path with a value in it
  method      text not null,
  ip_address  text,
  status_code integer not null,
  duration_ms integer not null,
  request_id  text not null,
  created_at  timestamptz not null default now()
);
create index api_requests_user_idx on api_requests (user_id, id desc);
create index api_requests_created_idx on api_requests using brin (created_at);

-- Several keys per user with rights of their own, log-ins that slow down guessing, and users that can leave.

alter table api_keys
  add column scopes                text[] not null default '{send,read,numbers,webhooks,account}'
             constraint api_keys_scopes_check check (scopes <@ '{send,read,numbers,webhooks,account}' and scopes <> '{}'),
  add column expires_at            timestamptz, -- also how a rotated key lives on for its overlap
  add column rate_limit_per_minute integer
             constraint api_keys_rate_limit_check check (rate_limit_per_minute > 0), -- its share; null: all of its user's
  add column last_used_at          timestamptz; -- written in batches, so it may lag behind by some seconds

alter table users
  add column next_time_zone    text, -- a change waits for the next midnight, or it would open a second quota day
  add column next_time_zone_at timestamptz,
  add column deleted_at        timestamptz; -- already nameless; the rest of its data is erased in the background
create index users_next_time_zone_idx on users (next_time_zone_at) where next_time_zone_at is not null;
create index users_deleted_idx on users (deleted_at) where deleted_at is not null;

alter table api_requests add column api_key_id bigint; -- null: an access token, or nobody
create index api_requests_failed_idx on api_requests (user_id, id desc) where status_code >= 400;

-- Who tried to log in too often. The subject is a hash of an e-mail address, of an address, or of both: nothing here
-- tells who is a user, and unknown e-mail addresses leave no trace that could be read.
create table login_tries (
  subject       bytea primary key,
  failures      double precision not null default 0, -- melts away with time
  last_at       timestamptz not null default now(),
  blocked_until timestamptz,
  trusted_until timestamptz -- somebody logged in from there: others' guesses elsewhere do not keep them out
);
create index login_tries_last_idx on login_tries using brin (last_at);

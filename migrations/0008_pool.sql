-- Numbers that stay connected, a pool the operator can change while it runs, and what the operator does.

-- What the engine calls a number's instance. Generation 0 is one that was there before us and was adopted as it is.
create function engine_name(instance_name text, generation integer) returns text
  language sql immutable parallel safe
  return case when generation = 0 then instance_name else instance_name || '_g' || generation end;

alter table servers
  add column source            text not null default 'setting'
             constraint servers_source_check check (source in ('setting', 'admin')),
  add column state             text not null default 'active' -- draining: no new numbers; disabled: no sends either
             constraint servers_state_check check (state in ('active', 'draining', 'disabled')),
  add column capacity          integer constraint servers_capacity_check check (capacity > 0), -- null: from its memory
  add column memory_mb         integer constraint servers_memory_check check (memory_mb > 0), -- null: the setting
  add column problem_code      text,
  add column down_since        timestamptz,
  add column version           text,
  add column client_name       text, -- its DATABASE_CONNECTION_CLIENT_NAME: two with one name fight over every session
  add column duplicate_of      text, -- the other server that claims the same sessions
  add column shares_with       text, -- it lists instances of ours that are placed on that other server
  add column licence           text,
  add column version_at        timestamptz, -- when it was last asked; the question makes the engine call the internet
  add column compared_at       timestamptz, -- when its instances were last held against ours
  add column foreign_instances integer,
  add column removed_at        timestamptz; -- kept while deleted numbers refer to it

alter table phone_numbers
  add column parked_at        timestamptz, -- has no instance on the engine; one is made when somebody asks for a QR code
  add column link_asked_at    timestamptz, -- the last time somebody did
  add column pairing_code     text, -- valid as long as the QR code
  add column pairing_number   text,
  add column last_received_at timestamptz,
  add column drops            integer not null default 0, -- connections lost in a row, none long after the other
  add column dropped_at       timestamptz,
  add column unstable_since   timestamptz, -- it comes and goes: told once instead of each time
  add column told_status      text; -- what its user was last told: connected or disconnected

update phone_numbers set told_status = status where status in ('connected', 'disconnected');

create index phone_numbers_unlinked_idx on phone_numbers (coalesce(link_asked_at, created_at))
  where deleted_at is null and parked_at is null and status <> 'connected';
create index phone_numbers_unstable_idx on phone_numbers (unstable_since) where unstable_since is not null;
create index phone_numbers_placed_idx on phone_numbers (server_instance)
  where deleted_at is null and parked_at is null;

-- When to ask the engine about a number next; a table of its own, so that ten thousand looks touch no number's row.
create table connection_checks (
  phone_number_id    bigint primary key references phone_numbers on delete cascade,
  check_at           timestamptz not null default now() + random() * interval '5 minutes', -- spread from the start
  checked_at         timestamptz,
  problem            text, -- why it is suspected although it counts as connected
  missing            smallint not null default 0, -- looks in a row in which the engine did not know the instance
  restarts           smallint not null default 0, -- since it was last well
  restart_at         timestamptz, -- no restart before this moment
  settings_at        timestamptz, -- when its webhook was last read back from the engine
  applied            text -- fingerprint of webhook and settings as they were last set there
) with (fillfactor = 70);
create index connection_checks_due_idx on connection_checks (check_at);
insert into connection_checks (phone_number_id) select id from phone_numbers where deleted_at is null;

-- A create that timed out may still happen: until then a 404 is no proof that nothing is left.
alter table instance_removals add column watch_until timestamptz;

-- Every change of a number's status, written by the database itself so that no writer can forget it.
create table status_changes (
  id              bigint generated always as identity primary key,
  phone_number_id bigint not null references phone_numbers on delete cascade,
  status          text not null,
  reason          text,
  changed_at      timestamptz not null
);
create index status_changes_number_idx on status_changes (phone_number_id, id desc);
create index status_changes_changed_idx on status_changes using brin (changed_at);

insert into status_changes (phone_number_id, status, reason, changed_at)
select id, status, status_reason, status_changed_at from phone_numbers order by status_changed_at;

create function note_status_change() returns trigger language plpgsql as $$
begin
  insert into status_changes (phone_number_id, status, reason, changed_at)
  values (new.id, new.status, new.status_reason, new.status_changed_at);
  return null;
end $$;
create trigger phone_numbers_created after insert on phone_numbers
  for each row execute function note_status_change();
create trigger phone_numbers_moved after update of status, status_reason on phone_numbers
  for each row when (old.status is distinct from new.status or old.status_reason is distinct from new.status_reason)
  execute function note_status_change();

-- A page on which somebody without a key links one number; a new page ends the one before.
create table link_pages (
  phone_number_id bigint primary key references phone_numbers on delete cascade,
  token_hash      bytea not null constraint link_pages_token_hash_key unique, -- SHA-256 of 32 random bytes
  created_at      timestamptz not null default now(),
  expires_at      timestamptz not null
);

alter table users
  drop constraint users_status_check,
  add constraint users_status_check check (status in ('active', 'suspended', 'expired')),
  add column suspended_at      timestamptz,
  add column suspension_reason text, -- for the operator
  add column expiry_told       smallint not null default 0; -- 1 warned, 2 in its grace, 3 ended
create index users_active_until_idx on users (active_until) where active_until is not null;

alter table plans
  add column description text,
  add column created_at  timestamptz not null default now(),
  add column updated_at  timestamptz not null default now();

-- Links the operator hands out to whoever forgot the password.
create table password_resets (
  token_hash bytea primary key, -- SHA-256 of 32 random bytes
  user_id    bigint not null references users on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at    timestamptz
);
create index password_resets_user_idx on password_resets (user_id);

-- The operator's hand on a user's lanes; the user's own pause is remembered and comes back afterwards.
alter table lanes
  add column held_reason text, -- user_suspended or plan_expired
  add column own_pause   boolean not null default false;

-- Written before an action of the operator runs, completed after it: nothing happens unseen.
create table audit_log (
  id          bigint generated always as identity primary key,
  at          timestamptz not null default now(),
  actor       text not null, -- api, or shell:<name>
  action      text not null, -- method and route
  target      jsonb not null default '{}', -- what the path named
  details     jsonb not null default '{}', -- the body without passwords
  ip_address  text,
  request_id  text not null,
  status_code integer -- null: it never ended
);

-- What the operator was told, so that several processes tell it once, and the all-clear reaches them too.
create table alerts (
  key        text primary key, -- such as server_down:evolution-1
  message    text not null,
  since      timestamptz not null,
  seen_at    timestamptz not null, -- the last round that found it so
  told_at    timestamptz,
  cleared_at timestamptz -- it is over, but the all-clear is still owed
);

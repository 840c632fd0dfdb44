-- What each number has asked of WhatsApp in the last hour: taken before it asks, so that calls at the same moment cannot
-- pass the limit together, and counted even where no answer came.
create table contact_lookups (
  id              bigint generated always as identity primary key,
  phone_number_id bigint not null references phone_numbers on delete cascade,
  contacts        integer not null,
  asked_at        timestamptz not null default now()
);
create index contact_lookups_number_idx on contact_lookups (phone_number_id, asked_at);

drop index contact_checks_number_idx; -- counted them until now

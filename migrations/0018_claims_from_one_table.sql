-- What is pending carries all that a claim needs of its delivery, so that a claim need not look that up.
lock table deliveries in share row exclusive mode; -- no trigger of a statement under way may still know the old columns
alter table pending_deliveries
  add column event_id        bigint,
  add column phone_number_id bigint,
  add column attempts        integer,
  add column attempts_from   integer;
update pending_deliveries p
   set event_id = d.event_id, phone_number_id = d.phone_number_id, attempts = d.attempts,
       attempts_from = d.attempts_from
  from deliveries d where d.id = p.id;
alter table pending_deliveries
  alter column event_id set not null,
  alter column attempts set not null,
  alter column attempts_from set not null;

create or replace function note_open_deliveries() returns trigger language plpgsql as $$
begin
  insert into pending_deliveries (webhook_id, due_at, id, version, event_id, phone_number_id, attempts, attempts_from)
  select webhook_id, due_at, id, claims, event_id, phone_number_id, attempts, attempts_from
    from after where status = 'pending';
  insert into failed_deliveries (webhook_id, created_at, id)
  select webhook_id, created_at, id from after where status = 'failed';
  return null;
end $$;

-- What was in an index on status and due_at stands in tables of its own (docs/adr/0010): an outcome then touches no index
-- of deliveries, and its new row version stays on the page. PostgreSQL keeps them itself, whoever writes.
create table pending_deliveries (
  webhook_id bigint not null,
  due_at     timestamptz not null,
  id         bigint not null,
  version    integer not null, -- deliveries.claims
  primary key (webhook_id, due_at, id)
);
create table failed_deliveries (
  webhook_id bigint not null,
  created_at timestamptz not null, -- the order in which they are listed
  id         bigint not null,
  primary key (webhook_id, created_at, id)
);

-- By keys, whatever the statistics say: a plan made while the tables are empty would read them whole later.
create function forget_open_deliveries() returns trigger language plpgsql
   set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  delete from pending_deliveries p using before b
   where b.status = 'pending' and p.webhook_id = b.webhook_id and p.due_at = b.due_at and p.id = b.id;
  delete from failed_deliveries f using before b
   where b.status = 'failed' and f.webhook_id = b.webhook_id and f.created_at = b.created_at and f.id = b.id;
  return null;
end $$;
create function note_open_deliveries() returns trigger language plpgsql as $$
begin
  insert into pending_deliveries (webhook_id, due_at, id, version)
  select webhook_id, due_at, id, claims from after where status = 'pending';
  insert into failed_deliveries (webhook_id, created_at, id)
  select webhook_id, created_at, id from after where status = 'failed';
  return null;
end $$;
-- Those of one event fire in the order of their names.
create trigger deliveries_1_forget_updated after update on deliveries referencing old table as before
  for each statement execute function forget_open_deliveries();
create trigger deliveries_2_note_updated after update on deliveries referencing new table as after
  for each statement execute function note_open_deliveries();
create trigger deliveries_note_inserted after insert on deliveries referencing new table as after
  for each statement execute function note_open_deliveries();
create trigger deliveries_forget_deleted after delete on deliveries referencing old table as before
  for each statement execute function forget_open_deliveries();

insert into pending_deliveries (webhook_id, due_at, id, version)
select webhook_id, due_at, id, claims from deliveries where status = 'pending';
insert into failed_deliveries (webhook_id, created_at, id)
select webhook_id, created_at, id from deliveries where status = 'failed';
analyze pending_deliveries, failed_deliveries;

drop index deliveries_due_idx;
drop index deliveries_failed_idx;
-- Room for the outcome beside each row.
alter table deliveries set (fillfactor = 50);

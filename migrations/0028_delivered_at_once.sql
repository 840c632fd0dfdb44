-- A delivery whose first attempt succeeds is not written again (docs/adr/0011): it leaves pending_deliveries, and its attempt
-- tells the rest. Servers of the version before write the outcome on deliveries, as ever; both may run at once.
lock table deliveries in access exclusive mode; -- first, as whoever writes here comes to the pending ones after it
create unique index pending_deliveries_id_idx on pending_deliveries (id);

create view delivery_details as
select d.id, d.webhook_id, d.event_id, d.phone_number_id, d.created_at, d.due_at, d.claims, d.attempts_from,
       case when s.at_once then 'delivered' else d.status end as status,
       case when s.at_once then 1 else d.attempts end as attempts,
       case when s.at_once
            then (select l.sent_at + l.response_time_ms * interval '1 millisecond' from webhook_logs l
                   where l.delivery_id = d.id and l.error is null order by l.id limit 1)
            else d.settled_at end as settled_at
  from deliveries d
  left join lateral (select id from pending_deliveries where id = d.id offset 0) p on true -- each by its key
 cross join lateral (select d.status = 'pending' and p.id is null as at_once) s;
comment on view delivery_details is 'deliveries as they are: read this one';
comment on column deliveries.status is 'stays pending when the first attempt succeeds: delivery_details tells';
comment on column deliveries.attempts is 'how often it was tried, but for a first attempt that succeeded';
comment on column deliveries.settled_at is 'null when the first attempt succeeded: delivery_details tells';
comment on column deliveries.claims is
  'moved on by every redelivery, and every outcome but a first success; an outcome that names another is refused';

-- What is pending is found by its id now.
create or replace function forget_open_deliveries() returns trigger language plpgsql
   set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  delete from pending_deliveries where ctid = any(array(
    select p.ctid from before b cross join lateral (select ctid from pending_deliveries where id = b.id offset 0) p
     where b.status = 'pending'));
  delete from failed_deliveries where ctid = any(array(
    select f.ctid from before b cross join lateral (
      select ctid from failed_deliveries
       where webhook_id = b.webhook_id and created_at = b.created_at and id = b.id offset 0) f
     where b.status = 'failed'));
  return null;
end $$;
-- What stays pending keeps its row, so that an outcome that waits for it finds it. An update that neither finds one there
-- nor makes a new version of the delivery leaves what was delivered as it is.
create function move_open_deliveries() returns trigger language plpgsql
   set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  delete from pending_deliveries where ctid = any(array(
    select p.ctid from before b cross join lateral (select ctid from pending_deliveries where id = b.id offset 0) p
     where b.status = 'pending' and b.id not in (select id from after where status = 'pending')));
  with moved as (
    update pending_deliveries p
       set due_at = a.due_at, version = a.claims, attempts = a.attempts, attempts_from = a.attempts_from
      from after a where a.status = 'pending' and p.id = any(array[a.id])
    returning p.id)
  insert into pending_deliveries (webhook_id, due_at, id, version, event_id, phone_number_id, attempts, attempts_from)
  select webhook_id, due_at, id, claims, event_id, phone_number_id, attempts, attempts_from from after
   where status = 'pending' and id not in (select id from moved)
     and (id, claims) not in (select id, claims from before where status = 'pending');
  delete from failed_deliveries where ctid = any(array(
    select f.ctid from before b cross join lateral (
      select ctid from failed_deliveries
       where webhook_id = b.webhook_id and created_at = b.created_at and id = b.id offset 0) f
     where b.status = 'failed'));
  insert into failed_deliveries (webhook_id, created_at, id)
  select webhook_id, created_at, id from after where status = 'failed';
  return null;
end $$;
drop trigger deliveries_1_forget_updated on deliveries;
drop trigger deliveries_2_note_updated on deliveries;
create trigger deliveries_moved after update on deliveries referencing old table as before new table as after
  for each statement execute function move_open_deliveries();

-- Room for an outcome beside some rows, no longer beside all of them.
alter table deliveries set (fillfactor = 80);

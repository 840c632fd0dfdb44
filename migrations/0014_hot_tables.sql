-- Each of these keys was looked up again for every message and event, a sixth of what PostgreSQL does for one that comes
-- in. The parent is locked when the row is written, and is deleted only with its user, whose messages and events are
-- erased first (db/erasure); deliveries go with their events.
alter table messages drop constraint messages_phone_number_id_fkey;
alter table events drop constraint events_phone_number_id_fkey;
alter table deliveries drop constraint deliveries_webhook_id_fkey;
-- It served that key only.
drop index events_number_idx;

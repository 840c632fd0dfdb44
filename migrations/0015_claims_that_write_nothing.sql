-- A claim no longer writes on the deliveries it takes: the hold of their queue is the lease (docs/adr/0009). What the
-- process before this has claimed looks like retries, due when its lease lapses.
comment on column deliveries.claims is
  'version of the row, the fence of outcomes: moved on by every outcome and redelivery, and once by every claim';
comment on column deliveries.attempts is 'how often it was tried, counted with the outcome';

-- It was looked up again for each attempt. Attempts are deleted with their events, or before (src/db/webhook-logs.ts).
alter table webhook_logs drop constraint webhook_logs_delivery_id_fkey;

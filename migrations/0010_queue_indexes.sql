-- What a number has scheduled: its queue is shown and purged without a look at everything it ever sent.
create index messages_scheduled_number_idx on messages (phone_number_id) where status = 'queued' and send_at is not null;

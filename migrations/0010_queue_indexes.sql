-- What a number has scheduled: its queue is shown and purged without a look at everything it ever sent.
create index messages_scheduled_number_idx on messages (phone_number_id) where status = 'queued' and send_at is not null;
-- Most of a user's messages may be outgoing.
create index messages_incoming_idx on messages (user_id, id desc) where direction = 'incoming';

-- An Idempotency-Key may stand for a webhook, too.
alter table idempotency_keys
  drop constraint idempotency_keys_one_check,
  add column webhook_id bigint,
  add constraint idempotency_keys_one_check check (num_nonnulls(message_id, phone_number_id, webhook_id) = 1)
    not valid; -- those there are obey the one before, and looking at all of them would hold up every send

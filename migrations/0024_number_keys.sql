-- An Idempotency-Key may stand for a phone number that a call made, instead of a message.
alter table idempotency_keys
  add column phone_number_id bigint,
  add constraint idempotency_keys_one_check check (num_nonnulls(message_id, phone_number_id) = 1);

-- An Idempotency-Key may stand for a phone number that a call made, instead of a message.
delete from idempotency_keys where message_id is null;
alter table idempotency_keys
  add column phone_number_id bigint,
  add constraint idempotency_keys_one_check check (num_nonnulls(message_id, phone_number_id) = 1);

-- An Idempotency-Key may stand for a phone number that a call made.
alter table idempotency_keys add column phone_number_id bigint;

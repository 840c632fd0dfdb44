-- Since when connections of a number were begun anew because they showed no QR code. While the engine cannot reach
-- WhatsApp none will, and each is an instance to make and to remove: the pauses between them grow.
alter table phone_numbers add column codeless_since timestamptz;

-- Secrets from before the previous one that sign too until their moment: a second rotation within a day, or a repeated
-- call of the first, must not end what receivers verify with. A list of { secret, until }.
alter table webhooks add column older_secrets jsonb not null default '[]';

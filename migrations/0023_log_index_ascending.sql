-- Attempts come in the order of their time: at its end an index takes them without a search, and fills its pages.
drop index webhook_logs_sent_idx;
create index webhook_logs_sent_idx on webhook_logs (sent_at);

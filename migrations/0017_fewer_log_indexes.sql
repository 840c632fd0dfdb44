-- Nobody asks for an attempt by its id: it is found by its delivery, or by its age. An index less for each attempt.
alter table webhook_logs drop constraint webhook_logs_pkey;

-- Answers about contacts are deleted with the number that asked, and when they are too old to be believed.
create index contact_checks_number_idx on contact_checks (phone_number_id);
create index contact_checks_age_idx on contact_checks (checked_at);

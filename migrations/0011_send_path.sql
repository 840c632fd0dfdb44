-- What a process is sending is found among what is in flight at all: one row per number at most.
drop index messages_claimed_idx;

-- Messages that were not over yet when the pruner came by, such as those scheduled for next year: they are emptied later.
create table unemptied_messages (
  message_id bigint primary key references messages on delete cascade
);

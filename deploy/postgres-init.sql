-- Evolution's tables live beside ours in the same database, in a schema of their own.
create schema if not exists evolution_api;

-- Not compressed, so that the size of a stored payload is what it takes in memory: a claim and a page are bounded by it.
alter table events alter column payload set storage external;

-- Not compressed, so that the size of a stored payload is what it takes in memory: a claim and a page are bounded by it.
-- Those of before stay compressed, and count for less than they take, until their retention ends.
alter table events alter column payload set storage external;

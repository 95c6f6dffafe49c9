-- The tenure that a rollback returns to, by the sequence of the event that began it.
ALTER TABLE tenures RENAME COLUMN beneath TO rollback_target;

"""Invariants of folder, engine, database and blobs: start-up requires them, and `doctor` reports them."""

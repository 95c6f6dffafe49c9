"""Invariants of folder, engine, database and bytes: one list, which start-up requires and `doctor` reports."""

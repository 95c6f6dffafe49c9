"""Engines and stores: the only place that knows SQL, apsw, asyncpg and the file system."""

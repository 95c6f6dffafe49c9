"""Database engines and the blob store: the only package that uses SQL, apsw, asyncpg and the file system."""

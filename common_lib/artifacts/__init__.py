"""Files of versions on the client: upload, download, the cache, and loading."""

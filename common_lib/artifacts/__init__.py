"""Upload, download, cache and load the files of versions on the client."""

"""Pure descriptions of requests, one file per resource: how to ask, and how to read the answer."""

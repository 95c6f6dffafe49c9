"""Use cases of the registry, one file per resource: load, check, store, and return the change."""

"""Use cases of the registry, one file per resource: load, refuse, act, and say what changed."""

"""Use cases of the registry, one file per resource.

A use case loads, checks and stores records, and returns the change.
"""

"""Invariants of folder, engine, database and blobs.

The server does not start if one is broken; `doctor` reports them all.
"""

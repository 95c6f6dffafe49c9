"""Entities of the registry: one msgspec Struct is the entity, the wire type and the row."""

"""Entities of the registry. One class is the entity, its JSON form and its database row."""

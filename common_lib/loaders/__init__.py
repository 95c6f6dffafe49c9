"""Loaders that turn verified bytes into objects, one module for each library; only allowed ones are imported.

A loader is a module or object that an entry point of the group `model_registry.loaders` names. Its `fault(content)`
returns why the bytes cannot be of its format, or None; its `load(content, **options)` returns the object.
"""

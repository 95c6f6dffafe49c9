"""Loaders that deserialise the verified bytes of a model. Each module is imported only if the caller allows it.

A loader is a module or object that an entry point of the group `model_registry.loaders` refers to. It has two
functions: `fault(content)` returns why the bytes do not have the loader's format, or None if they do;
`load(content, **options)` returns the object.
"""

"""What turns verified bytes into objects, one module for each library; none is imported before it is allowed.

A loader is a module, or any object, behind an entry point of the group `model_registry.loaders`. It has
`fault(content)`, which says why bytes cannot be what it reads, or None, and `load(content, **options)`.
"""

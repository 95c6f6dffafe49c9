"""Pure rules of the registry: standard library only, primitives and enums in and out.

The client refuses early with them and the server decides with them, so both sides cannot disagree.
"""

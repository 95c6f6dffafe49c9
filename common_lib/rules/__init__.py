"""Rules of the registry that client and server share.

The rules use only the standard library, plain values and enums. The client checks them before it sends a request, and
the server checks them again.
"""

"""The HTTP client: the only package that imports httpx, tenacity and purgatory."""

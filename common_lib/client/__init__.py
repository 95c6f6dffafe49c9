"""The only place that knows httpx, tenacity, purgatory and websockets."""

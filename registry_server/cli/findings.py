"""What `doctor` reports."""

from registry_server.invariants.findings import NAMED, Finding, Progress

__all__ = ["NAMED", "Finding", "Progress"]

"""Bytes on this side: transfer and verification."""

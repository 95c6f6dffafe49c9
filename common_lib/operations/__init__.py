"""Descriptions of requests and readers of their answers, one module per resource; nothing is sent here."""

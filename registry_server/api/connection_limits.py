"""Limits of connections: some are settings of the operator, others are fixed."""

from typing import Final, NamedTuple

from registry_server.api.allowed_hosts import AllowedHosts

# How many requests of one connection may wait for the responses to earlier ones.
MOST_QUEUED: Final = 100
# How many connections above the limit get a refusal; any further ones are closed without a response.
MOST_REFUSED: Final = 100


class Limits(NamedTuple):
    """Limits of one connection and of the number of connections.

    A rate is an average over the time in the next field.
    """

    head_bytes: int
    head_s: float
    body_s: float
    body_bytes_per_s: float
    answer_s: float
    answer_bytes_per_s: float
    connections: int
    allowed_hosts: AllowedHosts

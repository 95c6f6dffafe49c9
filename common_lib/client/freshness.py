"""Decide whether a stored answer may be served, from its age and the limits of the client.

Source: RFC 9111 (HTTP Caching) and RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from dataclasses import dataclass

from common_lib.config import ResolveRules
from common_lib.operations.base import Answer
from common_lib.staleness import Staleness


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer in the resolve cache, with the time and source of the answer, and its last failed refresh.

    `is_denied` is True from the time when the registry refuses the token until the registry answers again.
    """

    answer: Answer
    fetched_at: float
    source: str
    failed_at: float | None = None
    failure: str = ""
    is_denied: bool = False


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """The limits for the age of a stored answer, from the rules of the client and the staleness of the caller."""

    fresh_s: float
    revalidate_s: float
    stale_s: float
    serve_on_auth_failure: bool

    @classmethod
    def of(cls, rules: ResolveRules, staleness: Staleness | None = None, *, eager: bool = False) -> "AgeLimits":
        """Combine the rules of a client with the staleness of a caller.

        With `eager`, a call waits for the registry if the stored answer is not fresh.
        """
        revalidate_s, stale_s, serve_on_auth_failure = rules.revalidate_s, rules.stale_s, rules.serve_on_auth_failure
        if staleness is not None:
            revalidate_s = min(revalidate_s, max(rules.fresh_s, staleness.max_age_s))
            stale_s = staleness.max_age_s
            serve_on_auth_failure = serve_on_auth_failure or staleness.serve_on_auth_failure
        return cls(rules.fresh_s, rules.fresh_s if eager else revalidate_s, stale_s, serve_on_auth_failure)

    def may_serve(self, entry: Entry) -> bool:
        """Return False if the registry refuses the token and the limits do not allow a stored answer in that case."""
        return self.serve_on_auth_failure or not entry.is_denied

    def is_fresh(self, entry: Entry, age_s: float) -> bool:
        """Return whether an entry is young enough to be served without a request to the registry."""
        return age_s < self.fresh_s and not entry.is_denied

    def may_serve_stale(self, entry: Entry, age_s: float) -> bool:
        """Return whether an entry may be served while the registry does not answer (stale-if-error)."""
        return self.may_serve(entry) and age_s <= self.stale_s

    def may_serve_without_waiting(self, entry: Entry, age_s: float, *, is_refreshing: bool, now: float) -> bool:
        """Return whether an entry is served at once and refreshed in the background (stale-while-revalidate).

        That is a young entry, or an older entry whose refresh has just failed, or has failed and is in progress again.
        So callers do not wait for a registry that hangs.
        """
        has_failed = entry.failed_at is not None and (is_refreshing or now - entry.failed_at < self.fresh_s)
        return self.may_serve(entry) and (age_s < self.revalidate_s or (has_failed and age_s <= self.stale_s))

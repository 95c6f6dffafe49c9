"""Metrics of the scrubber, which reads all blobs again and again to detect damage."""

from prometheus_client import CollectorRegistry, Gauge

from registry_server.core.scrub import Report


def register(report: Report, registry: CollectorRegistry) -> None:
    """Register gauges whose values are read from the scrubber's report at each scrape."""
    stopped = Gauge(
        "registry_scrub_stopped", "1 while the scrubber has stopped and needs an operator", registry=registry
    )
    stopped.set_function(lambda: float(bool(report.alarm)))
    damaged = Gauge(
        "registry_scrub_damaged_blobs", "Blobs that the scrubber found damaged since the start", registry=registry
    )
    damaged.set_function(lambda: float(report.damaged))
    restored = Gauge(
        "registry_scrub_restored_blobs",
        "Blobs that the scrubber took out of quarantine since the start",
        registry=registry,
    )
    restored.set_function(lambda: float(report.restored))
    finished = Gauge(
        "registry_scrub_finished_timestamp_seconds",
        "Unix time at which the last round ended; 0 before the first end of a round",
        registry=registry,
    )
    finished.set_function(lambda: 0.0 if report.finished_at is None else report.finished_at.timestamp())

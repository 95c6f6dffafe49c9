"""What an operator may set; `registry-server serve` needs none of it."""

import os
from pathlib import Path

from msgspec import Struct


class Settings(Struct, frozen=True):
    """Settings of one server.

    `database_url` is empty for SQLite in the data folder, or `postgresql://…`. `memory` keeps rows in memory, for
    tests; bytes still go to `data`. The head of a request is its first line and its headers; its time runs from its
    first byte, or from the beginning of the connection. JSON bodies end at 1 MiB, or at `max_body_bytes` if that is
    less; the registration of a version, and small blobs sent together, at `max_body_bytes`. A body has to come, and an
    answer has to be taken, at the least rates on average over the times beside them. All blobs are read again at that
    rate, with that pause between two rounds; a rate of 0 means never. After so many damaged blobs in one round the
    scrubber stops and raises an alarm. A quota or a rate of one principal or peer that is 0 limits nothing.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8321
    database_url: str = ""
    memory: bool = False
    max_body_bytes: int = 8 * 1024 * 1024
    max_blob_bytes: int = 64 * 1024**3
    access_log: bool = True
    max_head_bytes: int = 64 * 1024
    max_connections: int = 512
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    min_body_bytes_per_s: float = 1024.0
    answer_timeout_s: float = 30.0
    min_answer_bytes_per_s: float = 1024.0
    allowed_hosts: tuple[str, ...] = ()
    wrong_tokens_per_min: float = 30.0
    write_bytes_per_s: float = 4 * 1024**2
    write_burst_bytes: float = 32 * 1024**2
    max_open_uploads: int = 256
    max_announced_bytes: int = 1024**4
    keep_alive_s: int = 75
    scrub_bytes_per_s: float = 16 * 1024**2
    scrub_pause_s: float = 7 * 86_400.0
    scrub_most_damaged: int = 10


def default_data_folder() -> Path:
    """`$REGISTRY_DATA`, or a folder of the user's own as the XDG base directory specification says."""
    if given := os.environ.get("REGISTRY_DATA"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "model-registry"

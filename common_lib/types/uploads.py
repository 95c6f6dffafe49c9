"""Uploads in parts; `common_lib.rules.uploads` has their progress."""

from common_lib.rules.fields import Count
from common_lib.types.base import RequestModel


class UploadRequest(RequestModel):
    """The request to begin or to continue an upload in parts."""

    size: Count

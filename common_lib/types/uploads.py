"""The request to begin an upload in parts; `common_lib.rules.uploads` defines the answer."""

from common_lib.rules.fields import Count
from common_lib.types.base import RequestModel


class UploadRequest(RequestModel):
    """The request to begin or to continue an upload in parts."""

    size: Count

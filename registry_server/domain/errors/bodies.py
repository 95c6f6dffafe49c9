"""Errors in the body of a request."""

from common_lib.rules.codes import Code
from registry_server.domain.errors.base import RegistryError


class BodyTooLarge(RegistryError, code=Code.TOO_LARGE, field="body"):
    """The body has more bytes than this address accepts."""

    remedy = "send a smaller body; send the bytes of model files to /v1/blobs, which accepts larger bodies"

    def __init__(self, size: int | str | None, limit: int) -> None:
        super().__init__(size, f"the body has more than {limit} bytes")


class BodyCutOff(RegistryError, code=Code.CONTENT_REFUSED, field="body"):
    """The client closed the connection before the body was complete."""

    detail = "the body ended early"
    remedy = "send the whole body again"


class TooManyValues(RegistryError, code=Code.INVALID_REQUEST, field="body"):
    """The JSON body has more names and values than this address accepts."""

    remedy = "send fewer names and values in one request"

    def __init__(self, beginning: str, limit: int) -> None:
        super().__init__(beginning, f"the body has more than {limit} names and values")


class MediaTypeNotSupported(RegistryError, code=Code.UNSUPPORTED_MEDIA_TYPE):
    """The address does not accept the media type or the encoding of the body."""

    def __init__(self, field: str, value: str, expected: str) -> None:
        self.field = field
        super().__init__(value, f"{field} {value!r:.100} is not supported", f"send {expected}")


class InvalidJson(RegistryError, code=Code.INVALID_JSON, field="body"):
    """The body is not one JSON value in UTF-8, or an object in it has a key twice."""

    remedy = "send one JSON value in UTF-8"

    def __init__(self, value: str, fault: str) -> None:
        super().__init__(value, f"the body {fault}")


class FieldInvalid(RegistryError, code=Code.INVALID_REQUEST):
    """A field of the JSON body is missing, is unknown or has the wrong type."""

    remedy = "read /openapi.json for the fields and their types"

    def __init__(self, field: str, value: str | None, fault: str) -> None:
        self.field = field
        super().__init__(value, f"{field}: {fault}")

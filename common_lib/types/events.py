"""The type of the events in the log; each change of state is one event."""

from typing import Annotated, Any

from pydantic import Field

from common_lib.rules import names
from common_lib.rules.fields import Moment
from common_lib.types.base import Value


class Event(Value):
    """One change of state as a CloudEvents 1.0 object; `data` holds `before`, `after`, `reason` and `forced`."""

    id: str
    sequence: Annotated[str, Field(pattern=names.SEQUENCE)]
    type: str
    subject: str
    time: Moment
    actor: str
    requestid: str
    source: str
    data: dict[str, Any]

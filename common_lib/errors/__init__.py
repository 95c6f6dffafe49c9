"""All errors of the library; no error of httpx, tenacity, pydantic or a database gets past these.

RegistryError
├── InvalidConfiguration         a setting of the client is wrong
├── RegistryClosed               the client was closed
├── RequestRefused               the registry refused the request: code, detail, remedy, field, value
│   ├── InvalidRequest               a name, field or parameter breaks a rule (also found before sending)
│   ├── Unauthenticated              no valid token
│   ├── Forbidden                    the principal of the token lacks the right
│   │   └── DecisionNotAllowed           the caller is a service, or registered the version
│   ├── NotFound
│   │   ├── ModelNotFound, VersionNotFound, AliasNotFound, BlobNotFound, BlobDamaged, FileNotFound,
│   │   └── UploadNotFound, PrincipalNotFound, TokenNotFound
│   ├── Conflict                     the current state does not allow the change
│   │   ├── AlreadyExists                the name is in use
│   │   ├── IllegalTransition            the version cannot move to that stage
│   │   ├── Tombstoned                   the model or version was tombstoned
│   │   ├── InUse                        the version is in production, or aliases point at it
│   │   ├── ProductionChanged            another version is in production than the caller expected
│   │   ├── NothingToReturnTo            no earlier production version can be restored
│   │   ├── PolicyNotMet                 the version does not meet the model's policy
│   │   ├── AlreadyDecided               the caller has already given this verdict
│   │   ├── BytesMissing                 a version names bytes that were not uploaded
│   │   ├── UploadOutOfStep              a part does not start where the previous one ended
│   │   └── RequestInFlight              the first request with this key is still running
│   ├── VersionRecalled              the version is blocked for everyone
│   ├── RevisionRequired             a change without the revision it is based on
│   ├── RevisionMismatch             the object has changed since it was read
│   ├── IdempotencyKeyReused         the key was used for another request
│   └── TooLarge                     a body beyond its limit
├── RegistryUnavailable          no response: what was tried, and when to try again
│   ├── ConnectionFailed             no server accepts connections at that address
│   ├── AnswerTimedOut               the response did not arrive in time
│   ├── DeadlineExceeded             the deadline of the caller passed
│   ├── CircuitOpen                  too many calls failed, so none is sent for a while
│   ├── TooManyCalls                 the client already runs as many calls as it allows
│   ├── RateLimited                  the registry accepts nothing more from this caller for a while (429)
│   └── ServerFailed                 the server responded with a failure of its own (5xx)
├── ProtocolError                the response does not come from a registry
├── DigestMismatch               bytes do not have their digest; they were not stored
├── NotCached                    the local cache does not have it, and the registry was not to be used
├── LocalDiskFailed              a file or folder of this machine cannot be read or written
├── FormatRefused                what, why, and what to do
│   ├── LoadRefused                  a model file is not loaded
│   └── NoSafeFormat                 an object cannot be saved without pickle
└── LibraryMissing               the library of a format is not installed
"""

from common_lib.errors.base import *
from common_lib.errors.codes import *
from common_lib.errors.local import *
from common_lib.errors.refused import *
from common_lib.errors.unavailable import *

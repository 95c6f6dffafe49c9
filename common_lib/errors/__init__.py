"""All errors that the library raises. Errors of httpx, tenacity, pydantic or a database are translated into them.

RegistryError
├── InvalidConfiguration         a setting of the client is wrong
├── RegistryClosed               the client was closed
├── RequestRefused               the registry refused the request: code, detail, remedy, field, value
│   ├── InvalidRequest               a name, field or parameter breaks a rule (also found before sending)
│   ├── Unauthenticated              the request has no valid token
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
│   │   ├── BytesMissing                 the bytes of a file were not uploaded before its version
│   │   ├── UploadOutOfStep              a part does not start where the previous one ended
│   │   └── RequestInFlight              the first request with this key is still running
│   ├── VersionRecalled              the version is blocked for everyone
│   ├── RevisionRequired             a change was sent without the revision that it is based on
│   ├── RevisionMismatch             the object has changed since it was read
│   ├── IdempotencyKeyReused         the key was used for another request
│   └── TooLarge                     the body is larger than its limit
├── RegistryUnavailable          the call has no response; the error lists the attempts
│   ├── ConnectionFailed             no server accepts connections at that address
│   ├── AnswerTimedOut               the response did not arrive in time
│   ├── DeadlineExceeded             the deadline of the call has passed
│   ├── CircuitOpen                  too many calls failed, so none is sent for a while
│   ├── TooManyCalls                 the client already runs as many calls as it allows
│   ├── RateLimited                  the caller has sent too many requests (status 429)
│   └── ServerFailed                 the server failed to execute the request (status 5xx)
├── ProtocolError                the response does not come from a registry
├── DigestMismatch               the bytes do not have the expected digest; they were not stored
├── NotCached                    the cache does not contain the object, and the call may not use the registry
├── LocalDiskFailed              a file or folder of this machine cannot be read or written
├── FormatRefused                the format of a file or object is refused
│   ├── LoadRefused                  a model file is not loaded
│   └── NoSafeFormat                 an object cannot be saved without pickle
└── LibraryMissing               the library of a format is not installed
"""

from common_lib.errors.base import *
from common_lib.errors.codes import *
from common_lib.errors.local import *
from common_lib.errors.refused import *
from common_lib.errors.unavailable import *

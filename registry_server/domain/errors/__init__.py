"""The errors that the server sends to clients. Each reason has its own class, with an error code and a text.

Code raises them as `errors.VersionInProduction(found)`. Classes with subclasses are only caught, never raised.

RegistryError
├── ModelNotFound, ModelExists, ModelInProduction, ModelTombstoned
├── VersionNotFound, VersionNotUsable, NothingSelected, VersionTombstoned, VersionRecalled
├── VersionNotRecalled, VersionInProduction, VersionAliased, FrameworkMissing, BytesMissing, FileSizeWrong
├── ManifestDamaged, FileNotFound
├── ProductionChanged, NothingToReturnTo, PolicyNotMet, OnlyForPromotions
├── NothingInProductionThen, AsOfInFuture, AsOfBeforeModel
├── HumanRequired, SelfApproval, AlreadyDecided, TooManyVerdicts
├── AliasNotFound, AliasExists, TooManyAliases, ContradictoryPreconditions
├── BlobNotFound, BlobDamaged, BlobTooLarge, DigestMismatch, BatchMalformed
├── UploadNotFound, UploadLost, UploadSizeChanged, UploadOutOfStep, UploadPartInFlight, UploadDigestMismatch
├── QuotaExceeded
│   └── TooManyUploads, TooManyAnnouncedBytes
├── TooManyFailures, WriteRateExceeded, RightMissing, GrantRemoved, PrincipalNotFound, PrincipalExists
├── PrincipalNameReserved, TokenNotFound, LastAdmin
├── Unauthenticated
│   └── TokenMissing, SeveralTokens, TokenNotValid
├── AddressNotFound, MethodNotAllowed, HeaderRepeated, QueryNotUtf8, ParameterUnknown, ParameterRepeated
├── ParameterEmpty, ParameterInvalid, ParameterRefused, NumberOutOfRange, NumberBeyond64Bits
├── OrderNotSupported, PageTokenNotValid, RangeNotSatisfiable
├── BodyTooLarge, BodyCutOff, TooManyValues, MediaTypeNotSupported, InvalidJson, FieldInvalid
├── IdempotencyKeyMissing, IdempotencyKeyReused, RequestInFlight, RevisionRequired, IfMatchMalformed
├── RevisionMismatch, ChangedMeanwhile, DeadlineMalformed, DeadlineExceeded
├── MalformedRequest, HttpVersionNotSupported, HostHeaderCount, HostMalformed, TargetMalformed, HostsDiffer
├── Misdirected, RequestTimedOut, HeadTooLarge, TooManyConnections, InternalError
└── StorageUnavailable
    ├── DatabaseFailed, DatabaseUnreachable, DatabaseClosed, WriterEnded, DiskFailed, BytesCollected
    └── FolderIsLink, BlobStoreMissing, StorageFull
"""

from registry_server.domain.errors.aliases import *
from registry_server.domain.errors.approvals import *
from registry_server.domain.errors.artifacts import *
from registry_server.domain.errors.base import *
from registry_server.domain.errors.bodies import *
from registry_server.domain.errors.connections import *
from registry_server.domain.errors.models import *
from registry_server.domain.errors.principals import *
from registry_server.domain.errors.production import *
from registry_server.domain.errors.requests import *
from registry_server.domain.errors.storage import *
from registry_server.domain.errors.uploads import *
from registry_server.domain.errors.versions import *
from registry_server.domain.errors.writes import *

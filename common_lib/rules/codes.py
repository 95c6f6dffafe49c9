"""The codes of all errors, with their HTTP status and title; client and server share this table."""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The code of an error; the string never changes.

    `status` is the HTTP status of the error. `summary` is the title of its problem (RFC 9457, 3.1.3) and may change.
    """

    status: int
    summary: str

    def __new__(cls, code: str, status: int, summary: str) -> Self:
        """Create the member that equals the string `code`."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.summary = summary
        return member

    MALFORMED_REQUEST = "malformed_request", 400, "The request is not valid HTTP"
    REQUEST_TIMEOUT = "request_timeout", 408, "The request did not arrive in time"
    MISDIRECTED_REQUEST = "misdirected_request", 421, "The request is for another server"
    HEAD_TOO_LARGE = "head_too_large", 431, "The head of the request is too large"
    TOO_MANY_CONNECTIONS = "too_many_connections", 503, "There are too many connections"
    INVALID_REQUEST = "invalid_request", 422, "The request is not valid"
    INVALID_JSON = "invalid_json", 400, "The body is not JSON as RFC 8259 defines it"
    INVALID_NAME = "invalid_name", 422, "The name is not valid"
    RESERVED_NAME = "reserved_name", 422, "The name is reserved"
    INVALID_PATH = "invalid_path", 422, "The artifact path is not valid"
    INVALID_DIGEST = "invalid_digest", 422, "The digest is not valid"
    INVALID_MANIFEST = "invalid_manifest", 422, "The manifest is not valid"
    INVALID_REFERENCE = "invalid_reference", 422, "The reference is not valid"
    AS_OF_OUT_OF_RANGE = "as_of_out_of_range", 422, "The time is outside the history of the model"
    INVALID_POLICY = "invalid_policy", 422, "The policy is not valid"
    INVALID_TAG = "invalid_tag", 422, "The tag is not valid"
    INVALID_TEXT = "invalid_text", 422, "The text contains forbidden characters"
    TEXT_TOO_LONG = "text_too_long", 422, "The text is too long"
    TOO_MANY_ENTRIES = "too_many_entries", 422, "There are too many entries"
    FIELD_TOO_LARGE = "field_too_large", 422, "The field has too many bytes"
    DUPLICATE_ENTRY = "duplicate_entry", 422, "The list contains an entry twice"
    INVALID_PAGE_TOKEN = "invalid_page_token", 422, "The page token is not valid for this list"
    INVALID_IF_MATCH = "invalid_if_match", 400, "If-Match is not valid"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key", 400, "The Idempotency-Key is not valid"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required", 400, "A change needs an Idempotency-Key"
    REASON_REQUIRED = "reason_required", 422, "A reason is required"
    UNAUTHENTICATED = "unauthenticated", 401, "The request has no valid token"
    FORBIDDEN = "forbidden", 403, "The caller lacks a right"
    HUMAN_REQUIRED = "human_required", 403, "Only a human can decide this"
    SELF_APPROVAL = "self_approval", 403, "The caller registered the version and cannot decide about it"
    NOT_FOUND = "not_found", 404, "The address does not exist"
    MODEL_NOT_FOUND = "model_not_found", 404, "The model does not exist"
    VERSION_NOT_FOUND = "version_not_found", 404, "The version does not exist"
    ALIAS_NOT_FOUND = "alias_not_found", 404, "The alias does not exist"
    BLOB_NOT_FOUND = "blob_not_found", 404, "The blob does not exist"
    BLOB_DAMAGED = "blob_damaged", 404, "The bytes are damaged or lost"
    UPLOAD_NOT_FOUND = "upload_not_found", 404, "The upload does not exist"
    FILE_NOT_FOUND = "file_not_found", 404, "The file does not exist"
    PRINCIPAL_NOT_FOUND = "principal_not_found", 404, "The principal does not exist"
    TOKEN_NOT_FOUND = "token_not_found", 404, "The token does not exist"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "The address does not support the method"
    CONFLICT = "conflict", 409, "The current state does not allow the change"
    MODEL_EXISTS = "model_exists", 409, "The model already exists"
    ALIAS_EXISTS = "alias_exists", 409, "The alias already exists"
    PRINCIPAL_EXISTS = "principal_exists", 409, "The principal already exists"
    LAST_ADMIN = "last_admin", 409, "The principal is the last admin"
    ILLEGAL_TRANSITION = "illegal_transition", 409, "The version cannot move to that stage"
    TOMBSTONED = "tombstoned", 409, "The model or version was tombstoned"
    PRODUCTION_CHANGED = "production_changed", 409, "Another version is in production"
    NOTHING_TO_RETURN_TO = "nothing_to_return_to", 409, "The model has no version to roll back to"
    POLICY_NOT_MET = "policy_not_met", 409, "The version does not meet the model's policy"
    ALREADY_DECIDED = "already_decided", 409, "The caller has already given this verdict on the version"
    VERSION_IN_PRODUCTION = "version_in_production", 409, "The version is in production"
    VERSION_ALIASED = "version_aliased", 409, "Aliases point at the version"
    BLOB_MISSING = "blob_missing", 409, "The bytes of the version are missing"
    UPLOAD_OUT_OF_STEP = "upload_out_of_step", 409, "The part does not start where the previous part ended"
    REQUEST_IN_FLIGHT = "request_in_flight", 409, "The first request is still running"
    VERSION_RECALLED = "version_recalled", 410, "The version is recalled"
    REVISION_MISMATCH = "revision_mismatch", 412, "The object has changed since it was read"
    TOO_LARGE = "too_large", 413, "The body is too large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", 415, "The media type is not supported"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable", 416, "The file has no bytes in that range"
    CONTENT_REFUSED = "content_refused", 422, "The bytes are not what was announced"
    DIGEST_MISMATCH = "digest_mismatch", 422, "The bytes have another digest"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", 422, "The Idempotency-Key belongs to another request"
    REVISION_REQUIRED = "revision_required", 428, "A change needs the revision that it is based on"
    RATE_LIMITED = "rate_limited", 429, "The caller has sent too much in too short a time"
    TOO_MANY_FAILURES = "too_many_failures", 429, "The address has sent too many invalid tokens"
    QUOTA_EXCEEDED = "quota_exceeded", 429, "The principal has reached its quota"
    INTERNAL = "internal", 500, "The server failed"
    STORAGE_UNAVAILABLE = "storage_unavailable", 503, "The storage is not available"
    BLOB_STORE_MISSING = "blob_store_missing", 503, "The blob folder is missing"
    DEADLINE_EXCEEDED = "deadline_exceeded", 504, "The deadline of the request has passed"
    STORAGE_FULL = "storage_full", 507, "The storage is full"

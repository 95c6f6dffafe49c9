-- When the bytes of a blob were found to be others than its digest says; they lie in quarantine since.
ALTER TABLE blobs ADD COLUMN quarantined_at BIGINT;

-- Who relies on bytes that no version names yet; until then nothing removes them. `sent` is 1 if the principal sent the
-- bytes, and so has them, and 0 if it only asked for them.
CREATE TABLE leases (
    sha256 {text} NOT NULL,
    principal {text} NOT NULL,
    expires_at BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    PRIMARY KEY (sha256, principal)
) {clustered};

-- Bytes on their way in, in parts: how many are here, and their digest, which tells whether they still are the same.
CREATE TABLE uploads (
    sha256 {text} NOT NULL,
    principal {text} NOT NULL,
    size BIGINT NOT NULL,
    received BIGINT NOT NULL,
    prefix_sha256 {text} NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (sha256, principal)
);

-- Blobs that nothing named when the collector came by first; it removes those that still are unnamed later.
CREATE TABLE condemned (sha256 {text} PRIMARY KEY, at BIGINT NOT NULL);

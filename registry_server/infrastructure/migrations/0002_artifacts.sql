-- The time at which the bytes of a blob were found damaged; they are in quarantine since.
ALTER TABLE blobs ADD COLUMN quarantined_at BIGINT;

-- Leases: principals that need bytes without a version; the collector leaves the bytes until then. `sent` is 1 if the
-- principal sent the bytes, and 0 if it only checked for them.
CREATE TABLE leases (
    sha256 {text} NOT NULL,
    principal {text} NOT NULL,
    expires_at BIGINT NOT NULL,
    sent BIGINT NOT NULL,
    PRIMARY KEY (sha256, principal)
) {clustered};

-- Uploads in parts: how many bytes have arrived, and their digest, to detect a change of them.
CREATE TABLE uploads (
    sha256 {text} NOT NULL,
    principal {text} NOT NULL,
    size BIGINT NOT NULL,
    received BIGINT NOT NULL,
    prefix_sha256 {text} NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (sha256, principal)
);

-- Blobs that were unreferenced when the collector first found them; it removes those that are still so later.
CREATE TABLE condemned (sha256 {text} PRIMARY KEY, at BIGINT NOT NULL);

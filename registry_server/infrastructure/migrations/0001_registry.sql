-- {text}, {bytes} and {clustered} differ between the engines; a block after "-- only: ENGINE" is for that engine alone.
-- Times are BIGINT microseconds since 1970 UTC, JSON is text: its bytes matter, its inside is never queried.

CREATE TABLE meta (key {text} PRIMARY KEY, value {text} NOT NULL);

-- Sequence and time of the last event; its row lock makes commit order, log order and time order equal.
CREATE TABLE counters (name {text} PRIMARY KEY, value BIGINT NOT NULL, at BIGINT NOT NULL);
INSERT INTO counters (name, value, at) VALUES ('events', 0, 0);

CREATE TABLE models (
    name {text} PRIMARY KEY,
    folded {text} NOT NULL UNIQUE,
    type {text} NOT NULL,
    owner {text} NOT NULL,
    description {text} NOT NULL,
    tags {text} NOT NULL,
    metadata {text} NOT NULL,
    latest_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_by {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tombstone {text}
);
CREATE INDEX models_by_creation ON models (created_at, name);

-- Facets for the search of models: type, owner, tag:<key> of the model, stage of its versions.
CREATE TABLE model_facets (
    facet {text} NOT NULL,
    value {text} NOT NULL,
    name {text} NOT NULL REFERENCES models (name),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (facet, value, name)
) {clustered};
CREATE INDEX model_facets_by_creation ON model_facets (facet, value, created_at, name);
CREATE INDEX model_facets_by_name ON model_facets (name, facet, value);

CREATE TABLE blobs (
    sha256 {text} PRIMARY KEY,
    size BIGINT NOT NULL,
    created_by {text} NOT NULL,
    created_at BIGINT NOT NULL
);

-- Canonical JSON stored under its own digest: manifests, and parts that are too large for their event.
CREATE TABLE documents (digest {text} PRIMARY KEY, body {bytes} NOT NULL);

CREATE TABLE versions (
    model {text} NOT NULL REFERENCES models (name),
    version BIGINT NOT NULL CHECK (version >= 1),
    stage {text} NOT NULL CHECK (stage IN ('development', 'staging', 'production', 'archived')),
    digest {text} NOT NULL REFERENCES documents (digest),
    size BIGINT NOT NULL,
    file_count BIGINT NOT NULL,
    framework {text} NOT NULL,
    description {text} NOT NULL,
    parameters {text} NOT NULL,
    metrics {text} NOT NULL,
    signature {text},
    lineage {text},
    tags {text} NOT NULL,
    revision BIGINT NOT NULL,
    created_by {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tombstone {text},
    PRIMARY KEY (model, version)
);
CREATE UNIQUE INDEX one_production_version ON versions (model) WHERE stage = 'production';
CREATE INDEX versions_by_stage ON versions (model, stage, version);

CREATE TABLE version_files (
    model {text} NOT NULL,
    version BIGINT NOT NULL,
    path {text} NOT NULL,
    sha256 {text} NOT NULL REFERENCES blobs (sha256) ON DELETE RESTRICT,
    size BIGINT NOT NULL,
    media_type {text} NOT NULL,
    PRIMARY KEY (model, version, path),
    FOREIGN KEY (model, version) REFERENCES versions (model, version) ON DELETE RESTRICT
) {clustered};
CREATE INDEX version_files_by_blob ON version_files (sha256);

CREATE TABLE aliases (
    model {text} NOT NULL,
    alias {text} NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    updated_by {text} NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, version) REFERENCES versions (model, version) ON DELETE RESTRICT
);

CREATE TABLE principals (
    name {text} PRIMARY KEY,
    kind {text} NOT NULL,
    grants {text} NOT NULL,
    revision BIGINT NOT NULL,
    created_by {text} NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE tokens (
    id {text} PRIMARY KEY,
    principal {text} NOT NULL REFERENCES principals (name),
    created_by {text} NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    secret_sha256 {text} NOT NULL UNIQUE
);

CREATE TABLE idempotency (
    principal {text} NOT NULL,
    key {text} NOT NULL,
    fingerprint {text} NOT NULL,
    status BIGINT NOT NULL,
    etag {text},
    location {text},
    body {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE events (sequence BIGINT PRIMARY KEY, body {bytes} NOT NULL);

-- only: sqlite
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

-- only: postgres
CREATE FUNCTION refuse_change_of_events() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$;
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_events();

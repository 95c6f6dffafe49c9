-- Why, when and by whom a version was blocked for everyone.
ALTER TABLE versions ADD COLUMN recall {text};

-- What was in production from when on: it follows from the log, and is found here by one look.
CREATE TABLE tenures (
    model {text} NOT NULL REFERENCES models (name),
    since BIGINT NOT NULL,
    sequence BIGINT NOT NULL UNIQUE,
    version BIGINT,
    beneath BIGINT,
    facts {text},
    PRIMARY KEY (model, since)
) {clustered};

-- Which events are decisions about a model.
CREATE TABLE decisions (
    model {text} NOT NULL REFERENCES models (name),
    sequence BIGINT NOT NULL,
    PRIMARY KEY (model, sequence)
) {clustered};

-- Where there is a log already, both are told from it once, when the server starts.
INSERT INTO meta (key, value) SELECT 'timeline', 'due' WHERE EXISTS (SELECT 1 FROM events);

-- What a promotion must fulfil; a model without a row has no conditions.
CREATE TABLE policies (
    model {text} PRIMARY KEY REFERENCES models (name),
    rules {text} NOT NULL,
    revision BIGINT NOT NULL,
    updated_by {text} NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The last word of each human about a version, and the digest of what it was said of.
CREATE TABLE approvals (
    model {text} NOT NULL,
    version BIGINT NOT NULL,
    approver {text} NOT NULL,
    verdict {text} NOT NULL,
    reason {text} NOT NULL,
    subject {text} NOT NULL,
    policy BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (model, version, approver),
    FOREIGN KEY (model, version) REFERENCES versions (model, version) ON DELETE RESTRICT
);

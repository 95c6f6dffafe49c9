-- Why, when and by whom a version was blocked for everyone.
ALTER TABLE versions ADD COLUMN recall {text};

-- The production version by time: derived from the log, and found here with one statement.
CREATE TABLE tenures (
    model {text} NOT NULL REFERENCES models (name),
    since BIGINT NOT NULL,
    sequence BIGINT NOT NULL UNIQUE,
    version BIGINT,
    rollback_target BIGINT,
    facts {text},
    PRIMARY KEY (model, since)
) {clustered};

-- The events that are decisions about a model.
CREATE TABLE decisions (
    model {text} NOT NULL REFERENCES models (name),
    sequence BIGINT NOT NULL,
    PRIMARY KEY (model, sequence)
) {clustered};

-- If a log exists already, the server rebuilds both tables from it once, when it starts.
INSERT INTO meta (key, value) SELECT 'timeline', 'due' WHERE EXISTS (SELECT 1 FROM events);

-- Conditions of promotions; a model without a row has none.
CREATE TABLE policies (
    model {text} PRIMARY KEY REFERENCES models (name),
    rules {text} NOT NULL,
    revision BIGINT NOT NULL,
    updated_by {text} NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The current verdict of each human on a version, and the digest of the facts that the verdict covers.
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

-- What Kayenta's clients keep with Serin (package server/spinnaker). JSON is text or deflated, as that package encodes it.

-- +goose Up
CREATE TABLE canary_configs (
    id   TEXT COLLATE BINARY PRIMARY KEY,
    body TEXT NOT NULL
);

-- A name belongs to one config in each application.
CREATE TABLE canary_config_names (
    application TEXT COLLATE BINARY NOT NULL,
    name        TEXT COLLATE BINARY NOT NULL,
    config      TEXT COLLATE BINARY NOT NULL REFERENCES canary_configs (id),
    PRIMARY KEY (application, name)
);
CREATE INDEX canary_config_names_by_config ON canary_config_names (config);

-- One run each: a judgement, or an analysis made of several.
CREATE TABLE canary_runs (
    id          TEXT COLLATE BINARY PRIMARY KEY, -- a ULID: later ones sort after earlier ones
    kind        TEXT COLLATE BINARY NOT NULL,
    application TEXT COLLATE BINARY NOT NULL,
    status      TEXT COLLATE BINARY NOT NULL,
    complete    BOOLEAN NOT NULL,
    at          BIGINT NOT NULL, -- of the newest change
    body        BLOB NOT NULL
);
CREATE INDEX canary_runs_by_application ON canary_runs (kind, application, id);
CREATE INDEX canary_runs_incomplete ON canary_runs (id) WHERE NOT complete;

-- The samples that a run has judged.
CREATE TABLE canary_pairs (
    id   TEXT COLLATE BINARY PRIMARY KEY,
    at   BIGINT NOT NULL,
    body BLOB NOT NULL
);

-- What the looks of one pipeline add up to.
CREATE TABLE canary_evidence (
    id      TEXT COLLATE BINARY PRIMARY KEY,
    version BIGINT NOT NULL, -- counts the looks: whoever writes has to know it
    at      BIGINT NOT NULL,
    body    BLOB NOT NULL
);

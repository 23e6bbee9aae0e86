-- Written for SQLite; migrate.go lists the few words that PostgreSQL spells otherwise.
-- Times are nanoseconds since 1970 in UTC. JSON is text, as the core's packages encode it.

-- +goose Up
CREATE TABLE releases (
    id         TEXT COLLATE BINARY PRIMARY KEY, -- a ULID: later ones sort after earlier ones
    rollout    TEXT COLLATE BINARY NOT NULL,
    revision   TEXT NOT NULL,
    plan       TEXT NOT NULL,
    start_key  TEXT COLLATE BINARY NOT NULL,
    version    BIGINT NOT NULL, -- seq of the newest event: whoever appends has to know it
    phase      TEXT COLLATE BINARY NOT NULL,
    outcome    TEXT COLLATE BINARY NOT NULL,
    started_by TEXT NOT NULL,
    started_at BIGINT,
    ended_at   BIGINT
);
CREATE UNIQUE INDEX releases_one_active ON releases (rollout) WHERE phase <> 'ended';
CREATE UNIQUE INDEX releases_start_key ON releases (rollout, start_key) WHERE start_key <> '';
CREATE INDEX releases_by_rollout ON releases (rollout, id);
CREATE INDEX releases_by_phase ON releases (phase, id);

-- Append only: nothing updates or deletes here.
CREATE TABLE events (
    release TEXT COLLATE BINARY NOT NULL REFERENCES releases (id),
    seq     BIGINT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (release, seq)
);

-- Which of a rollout's two sets is live, since which release.
CREATE TABLE live (
    rollout TEXT COLLATE BINARY PRIMARY KEY,
    swapped BOOLEAN NOT NULL,
    release TEXT COLLATE BINARY NOT NULL REFERENCES releases (id)
);

-- A body of evidence, and how far its samples have been counted.
CREATE TABLE scopes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    release   TEXT COLLATE BINARY NOT NULL REFERENCES releases (id),
    scope     TEXT COLLATE BINARY NOT NULL,
    last_look BIGINT NOT NULL, -- 0 before the first
    read_to   BLOB,            -- the cursor
    UNIQUE (release, scope)
);

-- The newest snapshot of a scope's evidence. It is big and seldom written, the cursor small and written at every
-- look: so it is a table of its own.
CREATE TABLE snapshots (
    scope BIGINT PRIMARY KEY REFERENCES scopes (id),
    look  BIGINT NOT NULL, -- it is the evidence after this one
    body  BLOB NOT NULL
);

-- Clustered by scope, so that a scope is read in one piece.
CREATE TABLE looks (
    scope  BIGINT NOT NULL REFERENCES scopes (id),
    number BIGINT NOT NULL,
    body   BLOB NOT NULL, -- see record.go
    PRIMARY KEY (scope, number)
) WITHOUT ROWID;

CREATE TABLE learned (
    rollout  TEXT COLLATE BINARY NOT NULL,
    release  TEXT COLLATE BINARY NOT NULL,
    metric   TEXT COLLATE BINARY NOT NULL,
    baseline TEXT COLLATE BINARY NOT NULL,
    weight   DOUBLE PRECISION NOT NULL,
    at       BIGINT,
    past     TEXT NOT NULL,
    PRIMARY KEY (rollout, metric, baseline, weight, release)
);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      BIGINT,
    by_whom TEXT NOT NULL,
    remote  TEXT NOT NULL,
    action  TEXT NOT NULL,
    rollout TEXT COLLATE BINARY NOT NULL,
    release TEXT NOT NULL,
    detail  TEXT NOT NULL,
    refused TEXT NOT NULL
);
CREATE INDEX audit_by_rollout ON audit (rollout, id);

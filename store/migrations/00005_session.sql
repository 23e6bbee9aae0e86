-- Sessions that people have ended: a copy of the cookie is worth nothing, also after a restart.

-- +goose Up
CREATE TABLE signed_out (
    session TEXT COLLATE BINARY PRIMARY KEY,
    until   BIGINT NOT NULL -- when it would have ended by itself
);

-- What the targets said that this daemon reads itself, for the day that a release learns from.

-- +goose Up
CREATE TABLE scraped (
    source TEXT COLLATE BINARY NOT NULL, -- by its name among the daemon's sources
    at     BIGINT NOT NULL,              -- of the newest sample in the body
    body   BLOB NOT NULL,                -- see analysis/scrape/day.go
    PRIMARY KEY (source, at)
);

-- What people and programs have to be told of, until they have been.

-- +goose Up
-- The newest event that has been looked at for messages. What happened before there were any stays untold.
ALTER TABLE releases ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
UPDATE releases SET told = version;
CREATE INDEX releases_untold ON releases (id) WHERE told < version;

CREATE TABLE outbox (
    key      TEXT COLLATE BINARY PRIMARY KEY, -- release, event and receiver: a message is kept once
    receiver TEXT COLLATE BINARY NOT NULL,
    at       BIGINT NOT NULL, -- of the event
    body     TEXT NOT NULL,
    state    TEXT COLLATE BINARY NOT NULL,
    tries    BIGINT NOT NULL,
    due      BIGINT NOT NULL, -- no try before that
    detail   TEXT NOT NULL    -- why the last try did not work
);
CREATE INDEX outbox_waiting ON outbox (receiver, at, key) WHERE state = 'waiting';
CREATE INDEX outbox_by_time ON outbox (at);

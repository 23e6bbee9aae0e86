-- The history is asked by person and by time; plans are long, so that reading all rows for it is slow.

-- +goose Up
CREATE INDEX releases_by_person ON releases (started_by, id);
CREATE INDEX releases_by_start ON releases (started_at);

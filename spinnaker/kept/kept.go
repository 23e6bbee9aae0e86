// Package kept says what Serin keeps for the clients of Kayenta's API: the values that package spinnaker and the store
// share. It decides nothing.
package kept

import (
	"encoding/json"
	"time"
)

// Config is a canary config of Kayenta as it is kept: JSON, and what it is found by.
type Config struct {
	ID, Name     string
	Applications []string
	Body         json.RawMessage
}

// Run is a run of Kayenta's API as it is kept.
type Run struct {
	// ID is a ULID, so that later runs sort after earlier ones. Kind keeps several sorts of runs apart.
	ID, Kind, Application string
	// Status is a word of Kayenta's; a run that is complete is never changed again.
	Status   string
	Complete bool
	At       time.Time
	Body     json.RawMessage
}

// Pairs are the samples that a run has judged.
type Pairs struct {
	ID   string
	At   time.Time
	Body json.RawMessage
}

// Evidence is what the looks of one pipeline add up to. Version counts its changes from 1.
type Evidence struct {
	ID      string
	Version int
	At      time.Time
	Body    []byte
}

// Filter says which runs to list. Empty fields do not filter, but Kind and Application have to be given.
type Filter struct {
	Kind, Application string
	Statuses          []string
	// Limit is 1,000 at most, and so where it is not positive; Offset of the newest are left out.
	Limit, Offset int
}

// Package kept answers the question what Serin stores for the clients of Kayenta's API. It holds the values that package
// spinnaker and the store share, and decides nothing.
package kept

import (
	"encoding/json"
	"time"
)

// Config is a stored canary config: its JSON, and the fields by which it is found.
type Config struct {
	ID, Name     string
	Applications []string
	Body         json.RawMessage
}

// Run is a stored run of Kayenta's API.
type Run struct {
	// ID is a ULID, so that later runs sort after earlier ones. Kind is canary or analysis.
	ID, Kind, Application string
	// Status is one of Kayenta's words. A complete run never changes again.
	Status   string
	Complete bool
	At       time.Time
	Body     json.RawMessage
}

// Pairs are the samples of a run, or those that a client stored.
type Pairs struct {
	ID   string
	At   time.Time
	Body json.RawMessage
}

// Evidence is what the looks of one pipeline add up to. Version counts its writes from 1.
type Evidence struct {
	ID      string
	Version int
	At      time.Time
	Body    []byte
}

// Filter selects the runs to list. Kind and Application are required; an empty list of statuses takes all.
type Filter struct {
	Kind, Application string
	Statuses          []string
	// Limit is at most 1,000, which is also what a limit below 1 means. The newest Offset runs are skipped.
	Limit, Offset int
}

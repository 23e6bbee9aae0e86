// Package record answers what is stored and shown of a release apart from its events: it has the values that the packages of
// the shell share. The engine makes them, the store keeps them, the server and the notifier show them.
//
// It decides nothing and does nothing; package rollout says what a release is and what follows from an event. Start
// reading at [Release] and [View].
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
)

// ErrConflict is returned by a store for an append at a version that is no longer the newest: another daemon acts on this
// release. The caller has to load the release again first.
var ErrConflict = errors.New("the release has changed meanwhile")

// ErrNotFound is returned for a release, rollout or gate that does not exist.
var ErrNotFound = errors.New("not found")

// ActiveError is returned for a second start: a rollout has one active release at a time.
type ActiveError struct{ Rollout, ID string }

func (e *ActiveError) Error() string {
	return fmt.Sprintf("rollout %s has an active release: %s", e.Rollout, e.ID)
}

// StartedError is returned for a start whose key has been used: ID is the release that it started.
type StartedError struct{ Key, ID string }

func (e *StartedError) Error() string {
	return fmt.Sprintf("key %q has already started release %s", e.Key, e.ID)
}

// Release is what is stored of a release apart from its events.
type Release struct {
	ID       string `json:"id"` // ULID
	Rollout  string `json:"rollout"`
	Revision string `json:"revision"`
	// Plan is everything that the release was started with (definition, analyses, route), as the engine encodes it.
	Plan json.RawMessage `json:"-"`
	Key  string          `json:"key,omitempty"`
	// Version is the Seq of the newest event.
	Version   int             `json:"version"`
	Phase     rollout.Phase   `json:"phase"`
	Outcome   rollout.Outcome `json:"outcome,omitempty"`
	StartedBy string          `json:"startedBy"`
	StartedAt time.Time       `json:"startedAt"`
	EndedAt   time.Time       `json:"endedAt,omitzero"`
}

// Past is a release as lists show it, with its parameters from the first event, and from the last one why it ended.
type Past struct {
	Release

	Parameters map[string]string `json:"parameters,omitempty"`
	// Why it ended as it did; empty while it runs.
	Why string `json:"why,omitempty"`
}

// LookRecord is one look as it is stored. A look stores only its own data: the evidence at a look is the newest snapshot
// before it, with all looks since then folded in. Charts are drawn from stored looks.
type LookRecord struct {
	Release string        `json:"release"`
	Scope   string        `json:"scope"`
	Turn    int           `json:"turn"`
	Look    judge.Look    `json:"look"`
	Verdict judge.Verdict `json:"verdict"`
	// Cursor is how far the samples have been counted after this look. Only the newest of a scope is kept.
	Cursor []byte `json:"-"`
	// Snapshot is the encoded evidence after this look; most looks have none.
	Snapshot []byte `json:"-"`
}

// LooksError says that the looks of some releases could not be written because of their content; all others were.
type LooksError struct {
	Releases []string
	Err      error
}

func (e *LooksError) Error() string {
	return fmt.Sprintf("the looks of %s cannot be written: %v", strings.Join(e.Releases, ", "), e.Err)
}

func (e *LooksError) Unwrap() error { return e.Err }

// Evidence holds what a scope's evidence is restored from.
type Evidence struct {
	// Snapshot after look number SnapshotLook (0: before the first); nil if there is none at all.
	Snapshot     []byte
	SnapshotLook int
	// Since has the looks after it, in order.
	Since  []judge.Look
	Cursor []byte
}

// Filter picks releases; zero fields do not restrict.
type Filter struct {
	Rollout string
	Phase   rollout.Phase
	Outcome rollout.Outcome
	// Key that the release was started with, and By whom.
	Key, By string
	// Since and Until bound the time of its start; Until itself is excluded.
	Since, Until time.Time
	// Before is a release id: only older ones, for paging.
	Before string
	// Limit is at most 1,000; 0 means 100.
	Limit int
}

// AuditFilter selects entries of the audit log; the zero value selects all.
type AuditFilter struct {
	Rollout string
	// By is who did it.
	By string
	// Actions selects only these actions, or all if it is empty; Except leaves some out.
	Actions, Except []string
	// Since and Until bound the time of the action; Until itself is excluded.
	Since, Until time.Time
	// Before is the ID of an entry: only older ones, for paging.
	Before int64
	// Limit is at most 1,000; 0 means 1,000.
	Limit int
}

// AuditEntry is one action of a person or a program on Serin.
type AuditEntry struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	From    string    `json:"from,omitempty"` // remote address
	Action  string    `json:"action"`         // start, approve, reject, rollback, …
	Rollout string    `json:"rollout,omitempty"`
	Release string    `json:"release,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	// Refused says why the action was refused; empty if it was not.
	Refused string `json:"refused,omitempty"`
}

// Learned is what one release taught about the noise of one metric at one weight.
type Learned struct {
	Rollout  string     `json:"rollout"`
	Release  string     `json:"release"`
	Metric   string     `json:"metric"`
	Baseline string     `json:"baseline"` // the kind of baseline: concurrent, copied, fixed, offset
	Weight   float64    `json:"weight"`
	At       time.Time  `json:"at"`
	Past     judge.Past `json:"past"`
}

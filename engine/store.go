package engine

import (
	"context"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Store keeps releases, events, looks and the audit log. Errors other than the named ones mean that nothing was written;
// the caller holds and tries again.
type Store interface {
	// Create writes a release with its first event in one transaction. It returns *record.ActiveError if the
	// rollout has an active release and *record.StartedError if the key is known for this rollout.
	Create(ctx context.Context, r record.Release, events ...rollout.Event) error
	// Append adds events, all or none, to a release whose newest event is version, and stores the release's phase, outcome
	// and end from r (Ended also sets which set is live). It returns record.ErrConflict if another event is the newest.
	Append(ctx context.Context, r record.Release, version int, events ...rollout.Event) error
	// Release returns one release; record.ErrNotFound if there is none.
	Release(ctx context.Context, id string) (record.Release, error)
	// ByKey returns the release that was started with a key; record.ErrNotFound if there is none.
	ByKey(ctx context.Context, rolloutName, key string) (record.Release, error)
	// Newest returns the release of a rollout that has not ended, else the one that ended last; record.ErrNotFound if the
	// rollout has had none.
	Newest(ctx context.Context, rolloutName string) (record.Release, error)
	// Releases lists, newest first.
	Releases(ctx context.Context, f record.Filter) ([]record.Release, error)
	// Started returns the first event of a release; record.ErrNotFound if there is no such release.
	Started(ctx context.Context, id string) (rollout.Started, error)
	// Events of a release after a Seq, in order.
	Events(ctx context.Context, id string, after int) ([]rollout.Event, error)
	// Swapped reports whether the set declared as canary is the live one; false for an unknown rollout.
	Swapped(ctx context.Context, rolloutName string) (bool, error)

	// SaveLooks writes the looks of a slot in one transaction. Cursors replace the previous ones.
	SaveLooks(ctx context.Context, looks []record.LookRecord) error
	// SaveSnapshot writes the evidence of a scope before its first look.
	SaveSnapshot(ctx context.Context, release, scope string, look int, snapshot []byte) error
	// Evidence returns the evidence of a scope; the zero value if there is none.
	Evidence(ctx context.Context, release, scope string) (record.Evidence, error)
	// Looks of a scope with numbers above after, in order, at most limit.
	Looks(ctx context.Context, release, scope string, after, limit int) ([]record.LookRecord, error)

	// Learn stores what was learned from a release; Learned returns what is stored for a rollout, oldest first.
	Learn(ctx context.Context, l []record.Learned) error
	Learned(ctx context.Context, rolloutName string) ([]record.Learned, error)

	// Audit appends to the audit log; AuditLog lists it, newest first.
	Audit(ctx context.Context, a record.AuditEntry) error
	AuditLog(ctx context.Context, f record.AuditFilter) ([]record.AuditEntry, error)

	// Prune removes looks and evidence of releases that ended before a time. Events and audit stay.
	Prune(ctx context.Context, before time.Time) error
}

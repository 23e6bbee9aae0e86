// Package storetest is the suite that a store passes on every database that it supports. A new one starts with
// [Run].
package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
)

// Database is a kind of database under test.
type Database struct {
	// New makes an empty database and returns its URL.
	New func(t testing.TB) string
	// Shared: several stores may have one database open at a time.
	Shared bool
}

// Run runs the whole suite.
func Run(t *testing.T, d Database) {
	t.Run("releases", d.releases)
	t.Run("starts", d.starts)
	t.Run("events", d.events)
	t.Run("concurrency", d.concurrency)
	t.Run("looks", d.looks)
	t.Run("slots", d.slots)
	t.Run("prune", d.prune)
	t.Run("memory", d.memory)
	t.Run("text", d.text)
	t.Run("canary", d.canary)
	t.Run("opening", d.opening)
	t.Run("outbox", d.outbox)
	t.Run("sessions", d.sessions)
	t.Run("scraped", d.scraped)
}

// open opens a new, empty database.
func (d Database) open(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, d.New(t))
}

// pair opens a new database twice if it can be shared, and once for both if it cannot.
func (d Database) pair(t testing.TB) (a, b *store.Store) {
	t.Helper()
	url := d.New(t)
	a = Open(t, url)
	if d.Shared {
		return a, Open(t, url)
	}
	return a, a
}

// Open opens a store for a test, which closes it.
func Open(t testing.TB, url string, opts ...store.Option) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Start is a time with nanoseconds; tests count from it.
var Start = time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC)

// Release is a release that has just started, with its first event.
func Release(id, rolloutName, key string) (record.Release, rollout.Event) {
	r := record.Release{
		ID: id, Rollout: rolloutName, Revision: "a1", Key: key, Plan: json.RawMessage(`{"definition": {"name": "é\u0000"}}`),
		Version: 1, Phase: rollout.Active, StartedBy: "ann", StartedAt: Start,
	}
	return r, rollout.Started{
		Meta: rollout.Meta{Seq: 1, At: Start, By: "ann"}, Rollout: rolloutName, Revision: "a1", Key: key,
		Parameters: map[string]string{"version": "1.2.3"},
	}
}

// Create creates a release and returns it.
func Create(t testing.TB, s *store.Store, id, rolloutName, key string) record.Release {
	t.Helper()
	r, first := Release(id, rolloutName, key)
	require.NoError(t, s.Create(t.Context(), r, first))
	return r
}

// End ends a release that has only its first event.
func End(t testing.TB, s *store.Store, r record.Release, swapped bool, at time.Time) record.Release {
	t.Helper()
	r.Phase, r.Outcome, r.EndedAt = rollout.PhaseEnded, rollout.Released, at
	e := rollout.Ended{Meta: rollout.Meta{Seq: r.Version + 1, At: at, By: "serin"}, Outcome: rollout.Released, Swapped: swapped}
	require.NoError(t, s.Append(t.Context(), r, r.Version, e))
	r.Version++
	return r
}

// Look is a look with a verdict as large as usual: two metrics, and all the numbers needed to question a verdict.
func Look(release, scope string, number int) record.LookRecord {
	at := Start.Add(time.Duration(number) * 10 * time.Second)
	n := float64(number)
	l := record.LookRecord{Release: release, Scope: scope, Turn: 3, Cursor: fmt.Appendf(nil, "cursor %d", number)}
	l.Look = judge.Look{
		Number: number, At: at, Length: 10 * time.Second, Weight: 0.05,
		Observations: []judge.Observation{
			{Metric: "errors", Canary: judge.Arm{Bad: 1, Total: 50 + n}, Baseline: judge.Arm{Bad: 7, Total: 951 + n}},
			{Metric: "slow", Canary: judge.Arm{Bad: 3, Total: 50 + n}, Baseline: judge.Arm{Bad: 44, Total: 951 + n}},
		},
		Requests: &judge.Requests{Canary: 50 + n, Baseline: 951 + n},
	}
	l.Verdict = judge.Verdict{Outcome: judge.Inconclusive, Reason: judge.Undecided, Look: number, At: at, Enough: true, Decisive: "errors"}
	for i, name := range []string{"errors", "slow"} {
		x := 1/(n+float64(i)) + 0.1234567
		l.Verdict.Metrics = append(l.Verdict.Metrics, judge.MetricVerdict{
			Metric: name, Kind: judge.Counts, Outcome: judge.Inconclusive, Reason: judge.Undecided,
			Canary:   judge.Totals{Bad: n, Total: 50 * n, Rate: x / 50},
			Baseline: judge.Totals{Bad: 7 * n, Total: 951 * n, Rate: x / 951},
			Ratio:    1 + x, Lower: 1 - x/3, Upper: 1 + x/7, Margin: 1.25 + x/100, Noise: 1 + x*x,
			LogEvidence: judge.LogEvidence{Worse: x * 0.7, FailsFrom: 4.605170185988092, NoWorse: x * 1.3, PassFrom: 2.995732273553991},
		})
	}
	l.Verdict.SampleRatio = &judge.SampleRatio{
		Weight: 0.05, Share: 0.0501 + 1/(n+1000), Canary: 50 * n, Baseline: 951 * n, Ratio: 1 + 1/(n+7),
		More: 0.3 / (n + 3), Fewer: 0.2 / (n + 5), AlarmFrom: 6.907755278982137,
	}
	return l
}

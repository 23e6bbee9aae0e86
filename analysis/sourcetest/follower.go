package sourcetest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/traffic/traefik"
)

// Source is the source under test.
type Source interface {
	Fetch(ctx context.Context, asks []analysis.Ask) []analysis.Answer
}

// Service is the name of an arm's service.
func Service(i int, arm string) string { return fmt.Sprintf("shop%d-%s@file", i, arm) }

// Plan binds metrics to the arms of the i-th service.
func Plan(t testing.TB, i int, metrics ...analysis.Metric) analysis.Plan {
	t.Helper()
	names := func(arm string) analysis.Names {
		return analysis.Names{Service: Service(i, arm), Vars: map[string][]string{"arm": {arm}}}
	}
	p, err := analysis.NewPlan(analysis.Definition{
		Split: analysis.Split{Requests: traefik.Series{}.Requests()}, Metrics: metrics,
	}, analysis.Arms{Canary: names("canary"), Baseline: names("stable")})
	require.NoError(t, err)
	return p
}

// Errors is the preset for errors.
func Errors() analysis.Metric {
	return analysis.Metric{Name: "errors", Source: traefik.Series{}.Errors()}
}

// Follower takes looks as an engine does, and adds up the counts.
type Follower struct {
	Source Source
	Plan   analysis.Plan
	Cursor analysis.Cursor
	// Last is the last look, and Canary the sums of the canary's counts by metric.
	Last   judge.Look
	Canary []judge.Arm

	t testing.TB
}

// Follow begins to count now.
func Follow(t testing.TB, s Source, p analysis.Plan) *Follower {
	return &Follower{t: t, Source: s, Plan: p, Cursor: analysis.NewCursor(time.Now())}
}

// Look takes one look.
func (f *Follower) Look() judge.Look {
	f.t.Helper()
	at := time.Now()
	answers := f.Source.Fetch(f.t.Context(), f.Plan.Asks(f.Cursor, at))
	b, err := json.Marshal(f.Cursor) // as if the daemon had been killed
	require.NoError(f.t, err)
	var kept analysis.Cursor
	require.NoError(f.t, json.Unmarshal(b, &kept))
	f.Cursor, f.Last = f.Plan.Fold(kept, answers, analysis.FoldInput{Number: f.Last.Number + 1, At: at, Weight: 0.1})
	if f.Canary == nil {
		f.Canary = make([]judge.Arm, len(f.Last.Observations))
	}
	for i, o := range f.Last.Observations {
		f.Canary[i].Bad += o.Canary.Bad
		f.Canary[i].Total += o.Canary.Total
	}
	return f.Last
}

// Until takes looks until the sums of a metric are reached, and some more to check that they stay.
func (f *Follower) Until(e *Exporter, metric int, bad, total float64) {
	f.t.Helper()
	await.Until(f.t, "the canary's events are seen", func() string {
		e.Scraped(f.t, 1)
		f.Look()
		if f.Canary[metric].Bad == bad && f.Canary[metric].Total == total {
			return ""
		}
		return fmt.Sprintf("%+v, last look: %+v", f.Canary[metric], f.Last)
	})
	e.Scraped(f.t, 4)
	f.Look()
	require.Equal(f.t, judge.Arm{Bad: bad, Total: total}, f.Canary[metric], "last look: %+v", f.Last)
}

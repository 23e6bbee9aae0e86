package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/store"
)

// replicasOf is a Prometheus with the last three hours of these pods of version v1. Each serves 50 requests a second,
// one in a hundred of them bad; in turns of ten minutes one of the pods has three times as many.
func replicasOf(t *testing.T, pods ...string) string {
	t.Helper()
	dir, now := t.TempDir(), time.Now().Truncate(time.Second)
	var text strings.Builder
	text.WriteString("# TYPE orders counter\n")
	for k, pod := range pods {
		good, bad := 0.0, 0.0
		for at, n := now.Add(-3*time.Hour), 0; !at.After(now); at, n = at.Add(10*time.Second), n+1 {
			more := 5.0
			if n/60%3 == k {
				more = 15
			}
			good, bad = good+500-more, bad+more
			for code, value := range map[string]float64{"200": good, "500": bad} {
				fmt.Fprintf(&text, "orders_total{version=\"v1\",pod=%q,code=%q,job=\"shop\",instance=%q} %g %d\n", pod, code, pod, value, at.Unix())
			}
		}
	}
	text.WriteString("# EOF\n")
	file := filepath.Join(dir, "past.txt")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	promtool, err := testbed.Tool("promtool")
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), promtool, "tsdb", "create-blocks-from", "openmetrics", file, filepath.Join(dir, "data")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return testbed.NewPrometheus(t, testbed.PrometheusConfig{Dir: dir}).URL
}

// firstRelease is an engine with a release that has not been judged yet, whose analysis distinguishes replicas.
type firstRelease struct {
	engine *Engine
	loop   *loop
	rel    *release
	log    *bytes.Buffer
}

func newFirstRelease(t *testing.T, url string) firstRelease {
	t.Helper()
	log, registry := &bytes.Buffer{}, prometheus.NewRegistry()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "serin.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	source, err := promsource.New(promsource.Config{URL: url}, registry)
	require.NoError(t, err)
	e := New(Options{
		Store: s, Source: source, Log: slog.New(slog.NewTextHandler(log, nil)), Registerer: registry,
		NewJudge: func(s judge.Settings) (judge.Judge, error) { return sequential.New(s) },
	})
	d := rollout.Definition{
		Name: "shop", Revision: "a1", Scopes: []rollout.Scope{{Name: "gray"}},
		Steps: rollout.Steps{rollout.Gray{Name: "gray", Weights: []share.Share{0.5}, Scope: "gray", Hold: time.Hour}, rollout.Promote{Name: "promote"}},
	}
	def := analysis.Definition{Settle: time.Second, Split: analysis.Split{Off: true}, Metrics: []analysis.Metric{{
		Name: "orders", Replicas: "pod",
		Source: analysis.Ratio{Bad: `orders_total{version="${stable}",arm=~"|${arm}",code="500"}`, Total: `orders_total{version="${stable}",arm=~"|${arm}"}`},
	}}}
	f := firstRelease{engine: e, loop: newLoop(e, "shop"), log: log}
	f.loop.gw.router = named{name: "shop"}
	f.rel = &release{plan: record.Plan{Rollout: d, Analyses: map[string]analysis.Definition{"gray": def}}}
	plan, err := json.Marshal(f.rel.plan)
	require.NoError(t, err)
	now := time.Now()
	f.rel.record = record.Release{ID: "01shop", Rollout: "shop", Revision: "a1", Plan: plan, Phase: rollout.Active, Version: 1, StartedBy: "ann", StartedAt: now}
	for i, event := range []rollout.Event{
		rollout.Started{Rollout: "shop", Revision: "a1", Parameters: map[string]string{"stable": "v1"}},
		rollout.StepEntered{Name: "gray", What: rollout.StageGray, Scope: "gray"},
	} {
		event = event.With(rollout.Meta{Seq: i + 1, At: now, By: "ann"})
		f.rel.state, err = f.rel.state.Apply(event)
		require.NoError(t, err)
		if i == 0 {
			require.NoError(t, s.Create(t.Context(), f.rel.record, event))
		}
	}
	return f
}

// follow begins the looks, as a daemon does when it learns of the release.
func (f firstRelease) follow(t *testing.T) *subject {
	t.Helper()
	target := f.rel.state.Target(&f.rel.plan.Rollout, f.rel.record.ID)
	require.NoError(t, f.engine.looks.follow(t.Context(), f.loop, f.rel, target))
	return f.engine.looks.subjects[f.rel.record.ID]
}

func TestAReleaseBeginsWithTheNoiseOfStablesHistory(t *testing.T) {
	f := newFirstRelease(t, replicasOf(t, "a", "b", "c"))
	k, s := f.engine.looks, f.follow(t)
	require.Nil(t, s.taught)
	k.rehearse(t.Context(), s)
	require.Len(t, s.taught["orders"], 1, "%s", f.log)
	p := s.taught["orders"][0]
	require.False(t, p.Release)
	require.Equal(t, 3, p.Replicas)
	require.InDelta(t, 0.0167, p.Rate, 0.003)
	require.Greater(t, p.Blocks[0].Count, 170.0, "minutes of three hours")
	require.Greater(t, p.Clusters, 3.0, "they differ for ten minutes at a time")

	k.slot(t.Context(), s.interval, time.Now()) // still warming up, so nothing is judged
	require.Nil(t, s.taught)
	stored, err := f.engine.o.Store.Evidence(t.Context(), "01shop", "gray")
	require.NoError(t, err)
	require.Equal(t, 1, stored.SnapshotLook, "what was learned is as durable as the look")

	k.drop("01shop")
	again := f.follow(t) // a daemon that was started again
	_, v := again.judge.Look(again.evidence, judge.Look{Number: 2, At: time.Now(), Length: 10 * time.Second, Weight: 0.5,
		Observations: []judge.Observation{{Metric: "orders", Canary: judge.Arm{Bad: 5, Total: 500}, Baseline: judge.Arm{Bad: 5, Total: 500}}}})
	require.True(t, v.Learned)
	require.Empty(t, again.history.Parts(time.Now()), "it is queried once")
}

func TestStablesHistoryIsIgnoredOnceAnythingWasJudged(t *testing.T) {
	f := newFirstRelease(t, replicasOf(t, "a", "b"))
	k, s := f.engine.looks, f.follow(t)
	s.follow.standing = analysis.Standing{}
	k.slot(t.Context(), s.interval, time.Now())
	require.True(t, s.judged)
	before := s.evidence
	k.rehearse(t.Context(), s)
	require.Nil(t, s.taught, "it is not even asked for")
	s.taught = map[string][]judge.Past{} // it was under way
	at := time.Now().Add(time.Second)
	require.False(t, s.take(at, 0, k.e.o.Source.Fetch(t.Context(), s.plan.Asks(s.cursor, at))).taught)
	require.Equal(t, before, s.evidence)
}

func TestAMissingHistoryDelaysNothing(t *testing.T) {
	f := newFirstRelease(t, "http://127.0.0.1:1")
	s := f.follow(t)
	ctx, cancel := context.WithTimeout(t.Context(), await.Patience)
	defer cancel()
	require.False(t, f.engine.looks.rehearsed(ctx, s), "it is tried again")
	require.Nil(t, s.taught)
	require.Contains(t, f.log.String(), "refused")
	require.Contains(t, f.log.String(), "nothing learned from a part of stable's history")
	f.engine.looks.drop("01shop")
	f.engine.looks.rehearse(ctx, s) // until the release has ended
	require.NoError(t, ctx.Err())
}

// If Prometheus was unreachable when a release began, the history is still used as long as nothing was judged without
// it.
func TestTheHistoryIsQueriedAgainUntilSomethingIsJudged(t *testing.T) {
	f := newFirstRelease(t, "http://127.0.0.1:1")
	k, s := f.engine.looks, f.follow(t)
	s.follow.standing = analysis.Standing{}
	require.False(t, k.rehearsed(t.Context(), s))
	k.slot(t.Context(), s.interval, time.Now())
	require.False(t, s.judged, "a look without an answer shows nothing")
	source, err := promsource.New(promsource.Config{URL: replicasOf(t, "a", "b")}, prometheus.NewRegistry())
	require.NoError(t, err)
	k.e.o.Source = source
	require.True(t, k.rehearsed(t.Context(), s))
	require.Len(t, s.taught["orders"], 1)
	k.slot(t.Context(), s.interval, time.Now().Add(time.Second))
	require.Nil(t, s.taught, "and it is used")
	require.True(t, s.judged)
	require.True(t, k.rehearsed(t.Context(), s), "there is nothing left to ask")
}

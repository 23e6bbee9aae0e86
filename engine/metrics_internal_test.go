package engine

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// The series of two rollouts, as Prometheus reads them. shop has had a release with two metrics, then began one with only
// one of them; cart has none.
func TestTheSeriesOfRollouts(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := newMetrics(registry)
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	errored := judge.MetricVerdict{
		Metric: "errors", Outcome: judge.Inconclusive, Ratio: 1.5, Margin: 1.25, Lower: 0.75, Upper: 4,
		Canary: judge.Totals{Rate: 0.02, Total: 100}, Baseline: judge.Totals{Rate: 0.01, Total: 900},
		LogEvidence: judge.LogEvidence{Worse: 1.5, NoWorse: -2},
	}
	slow := judge.MetricVerdict{Metric: "slow", Outcome: judge.Fail, Ratio: 2, Margin: 1.1, Lower: 1.2, Upper: 245}
	m.verdict("shop", judge.Verdict{Metrics: []judge.MetricVerdict{errored, slow}})
	errored.Outcome, errored.Ratio = judge.Pass, 0.5
	m.verdict("shop", judge.Verdict{Metrics: []judge.MetricVerdict{errored}})
	v := record.View{Gate: "ready", GateSince: now.Add(-time.Minute)}
	v.Target.Weight = 0.25
	v.State = rollout.State{
		Phase: rollout.Active, Alarm: true, NoDataSince: now.Add(-30 * time.Second),
		Look: &judge.Verdict{SampleRatio: &judge.SampleRatio{Alarm: true}},
	}
	m.show("shop", v, now)
	m.show("cart", record.View{}, now)
	m.event("shop", rollout.Started{})
	m.event("shop", rollout.Ended{Outcome: rollout.Released})
	m.drifted("shop")
	m.wrote("shop", errors.New("no"), time.Second)

	families, err := registry.Gather()
	require.NoError(t, err)
	var text bytes.Buffer
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "serin_look") { // of all rollouts together
			continue
		}
		_, err := expfmt.MetricFamilyToText(&text, f)
		require.NoError(t, err)
	}
	want, err := os.ReadFile("testdata/series.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), text.String())
}

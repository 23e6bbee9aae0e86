package traefik_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/traffic/traefik"
)

func TestTheBuiltInAnalysisHasItsDefaults(t *testing.T) {
	d := traefik.Series{}.Web()
	require.NoError(t, d.Validate())
	s := d.Judge(1)
	require.Equal(t, judge.Settings{
		FalseRollback: 0.01, FalseAdvance: 0.05,
		Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1},
		Metrics: []judge.Metric{
			{Name: "errors", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25, Absolute: 0.001}, Direction: judge.Increase, Weight: 2, Noise: 0.3, MinRequests: 100},
			{Name: "slow-requests", Kind: judge.Counts, Margin: judge.Margin{Relative: 0.25, Absolute: 0.01}, Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100, Cold: true},
		},
	}, s)
	require.InDelta(t, 0.0025, float64(d.Judge(4).FalseRollback), 1e-12)
}

func TestSeriesAreSelectedByTheirNamesInTheStore(t *testing.T) {
	series := traefik.Series{ServiceLabel: "exported_service", Match: `cluster="eu-1"`}.And("", `job="traefik"`)
	require.Equal(t, analysis.Selector(`traefik_service_requests_total{exported_service="${service}",code=~"5..|499",cluster="eu-1",job="traefik"}`),
		series.Errors("5xx", "499").Bad)
	for _, p := range traefik.Presets() {
		def := analysis.Definition{Split: analysis.Split{Requests: series.Requests()}, Metrics: []analysis.Metric{{Name: "m", Source: p.Source(series, traefik.Asked{})}}}
		require.NoError(t, def.Validate(), p.Name)
	}
	require.Equal(t, traefik.SlowerThan, traefik.Presets()[1].Source(series, traefik.Asked{}).(analysis.Slow).SlowerThan)
	require.Equal(t, time.Second, traefik.Presets()[1].Source(series, traefik.Asked{SlowerThan: time.Second}).(analysis.Slow).SlowerThan)
}

func TestACodeIsAStatusOrAClassOfThem(t *testing.T) {
	for text, want := range map[string]bool{"499": true, "5xx": true, "xxx": false, "099": false, "5x": false, "": false} {
		require.Equal(t, want, traefik.IsCode(text), text)
	}
}

// Package sourcetest is the suite that every source of samples passes: what package analysis relies on, regardless of which source reads
// the metrics.
package sourcetest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/traffic/traefik"
)

// Interval at which a source under test reads its targets: short so that a test covers many scrapes, and long enough
// for two busy cores.
const Interval = 500 * time.Millisecond

// Backend is a source that reads exporters.
type Backend struct {
	Source Source
	// Out disconnects the source from its data, and Back reconnects it.
	Out, Back func(t *testing.T)
}

// Run tests a source. open starts one that reads the exporters every [Interval], and returns once each was read.
func Run(t *testing.T, open opener) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, opener){
		"the first errors of a new series are counted exactly": firstErrors,
		"a restarted target counts from zero":                  restart,
		"two targets add up":                                   twoTargets,
		"a source that goes and comes loses nothing":           outage,
		"histograms are counted, classic and native":           histograms,
		"matchers select as PromQL's do":                       matchers,
		"a gauge has its current value, until it is gone":      gauges,
		"missing data is explained":                            faults,
		"nothing breaks out of a value":                        hostile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

type opener = func(t *testing.T, exporters ...*Exporter) Backend

func firstErrors(t *testing.T, open opener) {
	e := NewExporter(t)
	e.Add(0, "stable", "200", 1000)
	f := Follow(t, open(t, e).Source, Plan(t, 0, Errors()))
	f.Look()
	for range 3 { // samples 1, 2, 3
		e.Add(0, "canary", "500", 1)
		e.Scraped(t, 1)
	}
	f.Until(e, 0, 3, 3)
}

func restart(t *testing.T, open opener) {
	e := NewExporter(t)
	e.Add(0, "canary", "200", 100)
	f := Follow(t, open(t, e).Source, Plan(t, 0, Errors()))
	f.Look()
	e.Add(0, "canary", "500", 30)
	f.Until(e, 0, 30, 30)
	e.Restart()
	e.Add(0, "canary", "500", 2)
	e.Add(0, "canary", "200", 5)
	f.Until(e, 0, 32, 37)
}

func twoTargets(t *testing.T, open opener) {
	a, b := NewExporter(t), NewExporter(t)
	a.Add(0, "canary", "200", 10)
	b.Add(0, "canary", "200", 1000)
	f := Follow(t, open(t, a, b).Source, Plan(t, 0, Errors()))
	f.Look()
	a.Add(0, "canary", "500", 1)
	b.Add(0, "canary", "200", 6)
	b.Scraped(t, 1)
	f.Until(a, 0, 1, 7)
}

func outage(t *testing.T, open opener) {
	e := NewExporter(t)
	e.Add(0, "stable", "200", 1000)
	e.Add(0, "canary", "200", 10)
	b := open(t, e)
	f := Follow(t, b.Source, Plan(t, 0, Errors()))
	f.Look()
	b.Out(t)
	e.Add(0, "canary", "200", 7)
	at := f.Cursor.At
	l := f.Look()
	require.Equal(t, judge.Unreachable, l.Observations[0].Absent, l.Observations[0].Detail)
	require.Nil(t, l.Requests)
	require.Equal(t, at, f.Cursor.At)
	b.Back(t)
	e.Add(0, "canary", "500", 1)
	f.Until(e, 0, 1, 8)
}

func histograms(t *testing.T, open opener) {
	e := NewExporter(t)
	observe := func(seconds ...float64) {
		e.Observe(0, "canary", seconds...)
		e.Observe(0, "stable", 0.01)
	}
	for range 40 { // so that a restart is noticed at once: see analysis.Cursor
		observe(0.05, 1)
	}
	const buckets = `traefik_service_request_duration_seconds_bucket{service="${service}"}`
	f := Follow(t, open(t, e).Source, Plan(t, 0,
		analysis.Metric{Name: "classic", Source: analysis.Slow{SlowerThan: 300 * time.Millisecond, Histogram: buckets}},
		analysis.Metric{Name: "native", Source: analysis.Slow{SlowerThan: 500 * time.Millisecond, Histogram: `native_seconds{service="${service}"}`}},
		analysis.Metric{Name: "no bound", Source: analysis.Slow{SlowerThan: 250 * time.Millisecond, Histogram: buckets}}))
	f.Look()
	observe(0.2, 0.2, 0.7, 3, 100)
	f.Until(e, 0, 3, 5)
	require.Equal(t, judge.Arm{Bad: 3, Total: 5}, f.Canary[1])
	require.Contains(t, f.Last.Observations[2].Detail, "there are 0.1, 0.3, 1.2, 5")
	e.Restart()
	observe(0.2, 2)
	f.Until(e, 0, 4, 7)
	require.Equal(t, judge.Arm{Bad: 4, Total: 7}, f.Canary[1])
}

func matchers(t *testing.T, open opener) {
	e := NewExporter(t)
	codes := map[string]float64{"200": 1, "404": 2, "500": 4, "503": 8}
	add := func() {
		for code, n := range codes {
			e.Add(0, "canary", code, n)
			e.Add(0, "stable", code, n)
		}
	}
	add()
	const total = `traefik_service_requests_total{service="${service}"}`
	const every = `traefik_service_requests_total{service="${service}",code=~".*",service=~"shop.*"}`
	want := map[analysis.Selector]float64{
		`traefik_service_requests_total{service="${service}",code="500"}`:            4,
		`traefik_service_requests_total{service="${service}",code!="500"}`:           11,
		`traefik_service_requests_total{service="${service}",code=~"5.."}`:           12,
		`traefik_service_requests_total{service="${service}",code=~"5."}`:            0, // anchored on both sides
		`traefik_service_requests_total{service="${service}",code!~"5..|404"}`:       1,
		`traefik_service_requests_total{service="${service}",code="404",nothing=""}`: 2, // a label that is not there is empty
		every: 15,
	}
	var metrics []analysis.Metric
	var names []analysis.Selector
	for s := range want {
		names = append(names, s)
		// As the exposure, so that the source does the selection and not package analysis.
		metrics = append(metrics, analysis.Metric{Name: string(s), Source: analysis.Ratio{Bad: s, Total: s}},
			analysis.Metric{Name: "part " + string(s), Source: analysis.Ratio{Bad: s, Total: total}})
	}
	f := Follow(t, open(t, e).Source, Plan(t, 0, metrics...))
	f.Look()
	add()
	f.Until(e, 2*slices.Index(names, every), 15, 15)
	for i, s := range names {
		require.Equal(t, judge.Arm{Bad: want[s], Total: want[s]}, f.Canary[2*i], s)
		require.Equal(t, judge.Arm{Bad: want[s], Total: 15}, f.Canary[2*i+1], s)
	}
}

func gauges(t *testing.T, open opener) {
	e := NewExporter(t)
	e.Gauge("stable", 7)
	e.Gauge("canary", 3)
	f := Follow(t, open(t, e).Source, Plan(t, 0,
		analysis.Metric{Name: "depth", Source: analysis.Gauge{Query: `depth{arm="${arm}"}`}}))
	looks := func(canary, baseline judge.Arm) {
		t.Helper()
		await.Until(t, "a look sees what is there", func() string {
			o := f.Look().Observations[0]
			if reflect.DeepEqual(o.Canary, canary) && reflect.DeepEqual(o.Baseline, baseline) {
				return ""
			}
			return fmt.Sprintf("%+v", o) // a busy machine loses a scrape now and then
		})
	}
	looks(judge.Arm{Value: 3}, judge.Arm{Value: 7})
	e.Gauge("canary", 4)
	looks(judge.Arm{Value: 4}, judge.Arm{Value: 7})
	e.Forget(0, "canary")
	await.Until(t, "nothing is there any more", func() string {
		if o := f.Look().Observations[0]; o.Absent != judge.NoData || !strings.Contains(o.Detail, "no live series") {
			return fmt.Sprintf("%+v", o)
		}
		return ""
	})
}

func faults(t *testing.T, open opener) {
	e := NewExporter(t)
	e.Add(0, "stable", "200", 1)
	e.Add(0, "canary", "200", 1)
	e.Gauge("canary", math.NaN())
	e.Gauge("stable", 3)
	s := open(t, e).Source
	for name, c := range map[string]struct{ query, detail string }{
		"a query that cannot be read": {`depth{arm="${arm}"} +* 1`, "refuses"},
		"no such series":              {`nothing{arm="${arm}"}`, "no live series"},
		"a gauge that is NaN":         {`depth{arm="${arm}"}`, "no finite value"},
	} {
		l := Follow(t, s, Plan(t, 0, analysis.Metric{Name: "m", Source: analysis.Gauge{Query: c.query}})).Look()
		require.Equal(t, judge.NoData, l.Observations[0].Absent, name)
		require.Contains(t, l.Observations[0].Detail, c.detail, name)
	}
	require.Empty(t, s.Fetch(t.Context(), nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answers := s.Fetch(ctx, Plan(t, 0, Errors()).Asks(analysis.NewCursor(time.Now()), time.Now()))
	require.ErrorIs(t, answers[0].Err, context.Canceled)
	require.False(t, answers[0].Refused)
}

func hostile(t *testing.T, open opener) {
	e := NewExporter(t)
	names := []string{
		"\ufffd", `"`, `\`, `"} or up{a="`, "\n", "`", `'`, `${service}`, `\x22`, "é\u2028\U0001F600", ".*", "a|b", `\\"`, "\t\v\x01\x7f", "#", " ",
	}
	for i, name := range names {
		e.AddTo(name, "200", float64(i+1))
	}
	s := open(t, e).Source
	var asks []analysis.Ask
	at := time.Now()
	for _, name := range names {
		p, err := analysis.NewPlan(analysis.Definition{Split: analysis.Split{Off: true}, Metrics: []analysis.Metric{
			{
				Name: "a", Source: analysis.Ratio{Bad: traefik.Series{}.Requests(), Total: traefik.Series{}.Requests()},
				Baseline: analysis.Fixed{Rate: 0.5},
			},
			{Name: "b", Source: analysis.Ratio{Bad: `traefik_service_requests_total{service=~"${service}"}`,
				Total: `traefik_service_requests_total{service=~"${service}"}`}, Baseline: analysis.Fixed{Rate: 0.5}},
		}}, analysis.Arms{Canary: analysis.Names{Service: name}})
		require.NoError(t, err)
		asks = append(asks, p.Asks(analysis.NewCursor(at.Add(-time.Second)), at)...)
	}
	for i, a := range s.Fetch(t.Context(), asks) {
		require.NoError(t, a.Err)
		require.Len(t, a.Series, 1, "%q", names[i/2])
		require.Equal(t, names[i/2], a.Series[0].Labels.Get("service"))
		require.Equal(t, float64(i/2+1), a.Series[0].Samples[0].V)
	}
}

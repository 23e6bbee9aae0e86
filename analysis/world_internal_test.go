package analysis

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// epoch is second 0 of hand-made samples.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(second float64) time.Time { return epoch.Add(time.Duration(second * float64(time.Second))) }

// made is a series of hand-made samples.
type made struct {
	selector string // name{label="value",…}; target labels are added
	samples  []Sample
}

// series reads "second:value" pairs.
func series(selector, samples string) made {
	m := made{selector: selector}
	for s := range strings.FieldsSeq(samples) {
		second, value, _ := strings.Cut(s, ":")
		m.samples = append(m.samples, Sample{T: at(mustFloat(second)).UnixMilli(), V: mustFloat(value)})
	}
	return m
}

func mustFloat(s string) float64 {
	v, ok := parseBound(s)
	if !ok && s != "NaN" {
		panic(s)
	}
	if s == "NaN" {
		v = math.NaN()
	}
	return v
}

// world answers asks from hand-made samples as a Prometheus would.
type world struct {
	series  []made
	scrapes string // seconds at which the one target was scraped
	err     func(Ask) (error, bool)
}

var target = Target{Job: "traefik", Instance: "one:8080"}

func (w world) answer(t *testing.T, asks []Ask) []Answer {
	t.Helper()
	out := make([]Answer, len(asks))
	for i, a := range asks {
		if w.err != nil {
			if err, refused := w.err(a); err != nil {
				out[i] = Answer{Err: err, Refused: refused}
				continue
			}
		}
		for _, m := range w.series {
			if s, ok := m.within(t, a); ok {
				out[i].Series = append(out[i].Series, s)
				if a.NeedsScrapes(s) {
					out[i].Scrapes = map[Target][]int64{target: w.times(a)}
				}
			}
		}
	}
	return out
}

func (w world) times(a Ask) []int64 {
	var out []int64
	for s := range strings.FieldsSeq(w.scrapes) {
		if x := at(mustFloat(s)).UnixMilli(); x > a.ScrapesFrom().UnixMilli() && x <= a.To.UnixMilli() {
			out = append(out, x)
		}
	}
	return out
}

func (m made) within(t *testing.T, a Ask) (Series, bool) {
	t.Helper()
	text := strings.TrimSuffix(a.Template.Query([]string{a.Value}, 0), "[1ms]")
	if counted, ok := strings.CutPrefix(text, "count("); ok {
		text = strings.TrimSuffix(counted, ")")
	}
	asked, err := parseSelector(text)
	require.NoError(t, err)
	own, err := parseSelector(m.selector)
	require.NoError(t, err)
	var l Labels
	for _, o := range own.matchers {
		l = append(l, Label{o.label, o.value})
	}
	for _, o := range []Label{{"instance", target.Instance}, {"job", target.Job}} {
		if l.Get(o.Name) == "" {
			l = append(l, o)
		}
	}
	slices.SortFunc(l, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	if own.name != asked.name {
		return Series{}, false
	}
	for _, o := range asked.matchers {
		lm := labelMatcher{label: o.label, not: o.op[0] == '!', value: o.value}
		if strings.HasSuffix(o.op, "~") {
			lm.re, err = compile(o.value)
			require.NoError(t, err)
		}
		if !lm.matches(l) {
			return Series{}, false
		}
	}
	s := Series{Labels: l}
	for _, x := range m.samples {
		if a.Template.Instant && x.T <= a.To.UnixMilli() && a.To.UnixMilli()-x.T < Stale.Milliseconds() {
			s.Samples = []Sample{x}
		}
		if !a.Template.Instant && x.T > a.From.UnixMilli() && x.T <= a.To.UnixMilli() {
			s.Samples = append(s.Samples, x)
		}
	}
	return s, len(s.Samples) > 0
}

var arms = Arms{Canary: Names{Service: "canary@file", Vars: map[string][]string{"arm": {"canary"}, "version": {"v2"}}},
	Baseline: Names{Service: "stable@file", Vars: map[string][]string{"arm": {"baseline"}, "version": {"v1"}}}}

func plan(t *testing.T, metrics ...Metric) Plan {
	t.Helper()
	d := Definition{Split: Tested(), Metrics: metrics}
	require.NoError(t, d.Validate())
	p, err := NewPlan(d, arms)
	require.NoError(t, err)
	return p
}

// looks folds one look for each end of a window, counting from second 0.
func looks(t *testing.T, p Plan, w world, ends ...float64) (Cursor, []judge.Look) {
	t.Helper()
	c := NewCursor(epoch)
	var out []judge.Look
	for i, end := range ends {
		var l judge.Look
		c, l = p.Fold(c, w.answer(t, p.Asks(c, at(end))), FoldInput{Number: i + 1, At: at(end), Weight: 0.05})
		out = append(out, l)
	}
	return c, out
}

// total adds up the canary's counts of one metric.
func total(ls []judge.Look, metric int) (bad, all float64) {
	for _, l := range ls {
		bad += l.Observations[metric].Canary.Bad
		all += l.Observations[metric].Canary.Total
	}
	return bad, all
}

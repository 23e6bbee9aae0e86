package simulation_test

import (
	"bytes"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
	"github.com/serindev/serin/simulation"
)

//go:embed testdata/statistics.md
var document string

// tables are what docs/statistics.md is filled with.
type tables struct {
	Releases, Few                              int
	Seed                                       uint64
	FalseRollbacks, Detection, Late, Elsewhere string
	First                                      string
	Passes, Gauges, Split, SlowRequests        string
}

func TestCharacteristics(t *testing.T) {
	if *characteristics == "" && *only == "" {
		return // the small simulation above is what the tests hold
	}
	few := max(20, *releases*3/10)
	out := tables{Releases: *releases, Few: few, Seed: *seed}
	begin := time.Now()
	step := func(name string, to *string, measure func() string) {
		if !strings.HasPrefix(name, *only) {
			return
		}
		*to = measure()
		t.Logf("%s after %s\n%s", name, time.Since(begin).Round(time.Second), *to)
	}
	step("detection", &out.Detection, func() string { return detection(t, few) })
	step("late faults", &out.Late, func() string { return late(t, few) })
	step("pasts from elsewhere", &out.Elsewhere, func() string { return elsewhere(t, few) })
	step("passes", &out.Passes, func() string { return passes(t, few) })
	step("slow requests", &out.SlowRequests, func() string { return slowRequests(t, few) })
	step("gauges", &out.Gauges, func() string { return gauges(t, few) })
	step("split", &out.Split, func() string { return splits(t, *releases) })
	step("first release", &out.First, func() string { return firstReleases(t, *releases, few) })
	step("false rollbacks", &out.FalseRollbacks, func() string { return falseRollbacks(t, *releases) })

	if *only != "" {
		return
	}
	var text bytes.Buffer
	require.NoError(t, template.Must(template.New("statistics").Parse(document)).Execute(&text, out))
	require.NoError(t, os.WriteFile(filepath.Join(*characteristics, "statistics.md"), text.Bytes(), 0o644)) //nolint:gosec // for everybody to read
	plots(t, few)
}

// row is a line of a Markdown table.
func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// head is a table's head with its rule.
func head(cells ...string) string { return row(cells...) + strings.Repeat("|---", len(cells)) + "|\n" }

func names(all []method) []string {
	var out []string
	for _, m := range all {
		out = append(out, m.name)
	}
	return out
}

func falseRollbacks(t *testing.T, n int) string {
	all := methods(t)
	out := head(append([]string{"traffic, weight, base errors", "scenario"}, names(all)...)...)
	for _, c := range cells() {
		for _, s := range simulation.Scenarios() {
			line := []string{c.name, s.Name}
			for _, got := range run(c, s, 1, 0, learn(t, c, s), n, all) {
				line = append(line, percent(got.share))
			}
			out += row(line...)
		}
	}
	return out
}

func detection(t *testing.T, n int) string {
	all := methods(t)
	all = slices.Concat(all[:1], all[2:4], []method{best()}, all[4:])
	out := head(append([]string{"traffic, weight, base errors", "effect"}, names(all)...)...)
	independent := simulation.Scenarios()[0]
	for _, c := range cells() {
		p := learn(t, c, independent)
		for _, effect := range []float64{1.5, 2, 5, 20} {
			line := []string{c.name, fmt.Sprintf("×%g", effect)}
			for _, got := range run(c, independent, effect, 0, p, n, all) {
				line = append(line, got.median())
			}
			out += row(line...)
		}
	}
	return out
}

func late(t *testing.T, n int) string {
	serin := methods(t)[3:4]
	out := head("traffic, weight, base errors", "false rollback: bursts", "autocorrelated", "slow-drift",
		"×2 from the start", "×2 from minute 30", "×5 from the start", "×5 from minute 30")
	all := simulation.Scenarios()
	for _, c := range append(cells(), rising()) {
		line := []string{c.name}
		for _, s := range all[3:] {
			line = append(line, percent(run(c, s, 1, 0, learn(t, c, s), n, serin)[0].share))
		}
		p := learn(t, c, all[0])
		for _, effect := range []float64{2, 5} {
			for _, from := range []time.Duration{0, 30 * time.Minute} {
				line = append(line, run(c, all[0], effect, from, p, n, serin)[0].median())
			}
		}
		out += row(line...)
	}
	return out
}

// elsewhere judges with a past of another weight or another traffic.
func elsewhere(t *testing.T, n int) string {
	serin, all := methods(t)[3:4], simulation.Scenarios()
	out := head("today", "the past was", "false rollback: autocorrelated", "slow-drift", "×2", "×5 from minute 30")
	for _, pair := range []struct{ today, past cell }{
		{constant(100, 0.5, 0.01), constant(100, 0.05, 0.01)},
		{constant(100, 0.05, 0.01), constant(100, 0.5, 0.01)},
		{constant(1000, 0.5, 0.01), constant(100, 0.5, 0.01)},
		{constant(100, 0.5, 0.01), constant(1000, 0.5, 0.01)},
		{constant(1000, 0.5, 0.01), constant(100, 0.05, 0.01)},
	} {
		line := []string{pair.today.name, pair.past.name}
		for _, s := range all[4:] {
			line = append(line, percent(run(pair.today, s, 1, 0, learn(t, pair.past, s), n, serin)[0].share))
		}
		p := learn(t, pair.past, all[0])
		line = append(line, run(pair.today, all[0], 2, 0, p, n, serin)[0].median(),
			run(pair.today, all[0], 5, 30*time.Minute, p, n, serin)[0].median())
		out += row(line...)
	}
	return out
}

// firstReleases compares what can be done about a release of which nothing is learned yet. The rows that other tables
// have too are of the same releases.
func firstReleases(t *testing.T, n, few int) string {
	type way struct {
		method
		pasts func(cell, simulation.Scenario) pasts
	}
	nothing := func(cell, simulation.Scenario) pasts { return pasts{} }
	all := simulation.Scenarios()
	out := head("traffic, weight, base errors", "what is known", "false rollback: autocorrelated", "slow-drift", "×2", "×5")
	for _, c := range []cell{constant(100, 0.05, 0.01), constant(100, 0.5, 0.01), constant(1000, 0.5, 0.01)} {
		for _, w := range []way{
			{method{name: "nothing", judge: judgeOf(t, 0.3, true)}, nothing},
			{method{name: "nothing, `noise: 100%`", judge: judgeOf(t, 1, true)}, nothing},
			{method{name: "two replicas, two hours", judge: judgeOf(t, 0.3, true), past: true}, func(c cell, s simulation.Scenario) pasts { return rehearse(t, c, s) }},
			{method{name: "three releases", judge: judgeOf(t, 0.3, true), past: true}, func(c cell, s simulation.Scenario) pasts { return learn(t, c, s) }},
		} {
			line := []string{c.name, w.name}
			for _, s := range all[4:] {
				line = append(line, percent(run(c, s, 1, 0, w.pasts(c, s), n, []method{w.method})[0].share))
			}
			for _, effect := range []float64{2, 5} {
				line = append(line, run(c, all[0], effect, 0, w.pasts(c, all[0]), few, []method{w.method})[0].median())
			}
			out += row(line...)
		}
	}
	return out
}

// watched is what became of n releases that one judge watched.
func watched(n int, j *sequential.Judge, w simulation.World, stretches []simulation.Stretch, p pasts, key string) (failed, passed, alarmed times) {
	results := make([]simulation.Watched, n)
	each(n, func(i int) {
		chance := func(of string) rand.Source { return rand.NewPCG(*seed, number(of, key, i)) }
		results[i] = simulation.Watch(j, w, stretches, interval, p.draw(chance("past")), chance("users"))
	})
	for _, r := range results {
		failed.add(r.FailAt, r.Hurt, r.Failed)
		passed.add(r.PassAt, 0, r.Passed)
		alarmed.add(r.AlarmAt, 0, r.Alarmed)
	}
	return failed, passed, alarmed
}

// when writes "100%, 9 min".
func when(f times) string {
	if f.share.Of == 0 {
		return "0%"
	}
	return fmt.Sprintf("%.0f%%, %.1f min", 100*f.share.Value(), simulation.Quantile(f.minutes, 0.5))
}

// passes measures what passes: a canary that is no worse should, one that is worse by exactly its margin should not.
func passes(t *testing.T, n int) string {
	j, all := judgeOf(t, 0.3, true), simulation.Scenarios()
	out := head("traffic, weight, base errors", "no worse passes: first release", "with a past", "worse by its margin passes: iid", "autocorrelated", "slow-drift")
	without := constant(100, 0.5, 0)
	without.name = "100 rps, 50%, no errors at all"
	for _, c := range append(cells(), without) {
		p := learn(t, c, all[0])
		_, first, _ := watched(n, j, c.world(all[0], 1, 0), c.stretches, pasts{}, "pass "+c.name)
		_, later, _ := watched(n, j, c.world(all[0], 1, 0), c.stretches, p, "pass "+c.name)
		line := []string{c.name, when(first), when(later)}
		for _, s := range []simulation.Scenario{all[0], all[4], all[5]} {
			if c.base == 0 {
				line = append(line, "")
				continue
			}
			margin := max(1.25, 1+0.001/c.base)
			_, wrong, _ := watched(n, j, c.world(s, margin, 0), c.stretches, learn(t, c, s), "margin "+c.name+s.Name)
			line = append(line, percent(wrong.share))
		}
		out += row(line...)
	}
	return out
}

// slowRequests are a share of requests above a bound: five in a hundred, with a margin of one in a hundred.
func slowRequests(t *testing.T, n int) string {
	m := errorsMetric()
	m.Name, m.Margin.Absolute = "slow-requests", 0.01
	j, err := sequential.New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, FreshEvery: 10 * time.Minute, FreshLive: 6, Metrics: []judge.Metric{m}})
	require.NoError(t, err)
	out := head("traffic, weight", "no worse: rolled back", "×1.5", "×2", "×5")
	for _, c := range []cell{constant(10, 0.05, 0.05), constant(100, 0.05, 0.05), constant(100, 0.5, 0.05), constant(1000, 0.05, 0.05)} {
		line := []string{strings.TrimSuffix(c.name, ", 5%")}
		for _, effect := range []float64{1, 1.5, 2, 5} {
			w := c.world(simulation.Scenario{}, effect, 0)
			w.Metrics[0].Metric = m
			failed, _, _ := watched(n, j, w, c.stretches, pasts{}, fmt.Sprint("slow ", c.name, effect))
			if effect == 1 {
				line = append(line, percent(failed.share))
			} else {
				line = append(line, failed.median())
			}
		}
		out += row(line...)
	}
	return out
}

func gauges(t *testing.T, n int) string {
	m := judge.Metric{Name: "memory", Kind: judge.Gauge, Weight: 1, Noise: 0.3, Margin: judge.Margin{Relative: 0.2}}
	at := time.Duration(0)
	of := func(passAfter *time.Duration, live int) *sequential.Judge {
		j, err := sequential.New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, PassAfter: passAfter,
			FreshEvery: 10 * time.Minute, FreshLive: live, Metrics: []judge.Metric{m}})
		require.NoError(t, err)
		return j
	}
	whole := of(&at, 0)
	out := head("sd, correlation", "no worse: rolled back", "passed", "×1.3", "×2")
	for _, s := range []simulation.Wander{{Correlation: 0, Deviation: 0.02}, {Correlation: 0.5, Deviation: 0.05}, {Correlation: 0.9, Deviation: 0.1},
		{Correlation: 0.95, Deviation: 0.2}, {Correlation: 0.98, Deviation: 0.3}} {
		world := func(effect float64) simulation.World {
			return simulation.World{Rate: 1, Metrics: []simulation.Behaviour{{Metric: m, Base: 1, Effect: effect, Spread: s}}}
		}
		name := fmt.Sprintf("%g%%, %g", 100*s.Deviation, s.Correlation)
		stretches := []simulation.Stretch{{Weight: 0.5, For: hour}}
		failed, passed, _ := watched(n, whole, world(1), stretches, pasts{}, "gauge "+name)
		line := []string{name, percent(failed.share), when(passed)}
		for _, effect := range []float64{1.3, 2} {
			failed, _, _ := watched(n, whole, world(effect), stretches, pasts{}, fmt.Sprint("gauge ", name, effect))
			line = append(line, when(failed))
		}
		out += row(line...)
	}
	return out
}

// splits tests the gateway's split: 1,000 requests a look, twenty minutes.
func splits(t *testing.T, n int) string {
	j, err := sequential.New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{errorsMetric()},
		Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1}})
	require.NoError(t, err)
	out := head("asked for", "seen", "alarm", "looks until then (median)")
	for _, s := range []struct {
		asked, seen float64
		rotation    bool
	}{{0.05, 0.05, false}, {0.05, 0.05, true}, {0.5, 0.5, false}, {0.5, 0.5, true}, {0.05, 0.06, false}, {0.05, 0.1, false}, {0.5, 0.6, false}} {
		w := simulation.World{Rate: 100, Rotation: s.rotation, Metrics: []simulation.Behaviour{{Metric: errorsMetric(), Base: 0.01}}}
		var f times
		results := make([]times, n)
		each(n, func(i int) {
			users, e := w.Users(rand.NewPCG(*seed, number("split", s, i))), j.Begin(nil)
			for k := range 120 {
				l := users.Look(k+1, time.Unix(0, 0).Add(time.Duration(k+1)*interval), interval, s.seen)
				l.Weight = s.asked
				var v judge.Verdict
				if e, v = j.Look(e, l); v.SampleRatio.Alarm {
					results[i].add(time.Duration(k+1)*time.Minute, 0, true)
					return
				}
			}
			results[i].add(0, 0, false)
		})
		for _, r := range results {
			f.share.All, f.share.Of, f.minutes = f.share.All+r.share.All, f.share.Of+r.share.Of, append(f.minutes, r.minutes...)
		}
		how, looks := "at random", ""
		if s.rotation {
			how = "by rotation"
		}
		if f.share.Of > 0 {
			looks = fmt.Sprintf("%.0f", simulation.Quantile(f.minutes, 0.5))
		}
		out += row(fmt.Sprintf("%g%%", 100*s.asked), fmt.Sprintf("%g%% %s", 100*s.seen, how), percent(f.share), looks)
	}
	return out
}

// plots draws what the explanation shows.
func plots(t *testing.T, n int) {
	folder := filepath.Join(*characteristics, "img")
	require.NoError(t, os.MkdirAll(folder, 0o755)) //nolint:gosec // for everybody to read
	save := func(name string, c chart.Chart) {
		c.Origin = time.Unix(0, 0).UTC()
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), c.Standalone(), 0o644)) //nolint:gosec // for everybody to read
	}
	c := constant(100, 0.05, 0.01)
	save("worse.svg", oneRelease(t, c, 2, "A canary with twice the errors (100 requests a second, 5% on the canary, 1% errors)"))
	save("no-worse.svg", oneRelease(t, constant(100, 0.5, 0.01), 1, "A canary that is no worse (100 requests a second, 50%, 1% errors)"))
	all := methods(t)
	shown := []method{best(), all[3], all[2], all[4], all[5]}
	independent := simulation.Scenarios()[0]
	save("found.svg", byTime("Found: twice the errors, share of releases rolled back", c, shown,
		run(c, independent, 2, 0, learn(t, c, independent), 2*n, shown)))
	c, drift := constant(100, 0.5, 0.01), simulation.Scenarios()[5]
	shown = []method{all[3], all[2], all[4], all[5]}
	save("wrong.svg", byTime("Wrong: no worse, but both arms drift for minutes, share of releases rolled back", c, shown,
		run(c, drift, 1, 0, learn(t, c, drift), 2*n, shown)))
}

// oneRelease draws the ratio of one release with its confidence sequence.
func oneRelease(t *testing.T, c cell, effect float64, title string) chart.Chart {
	j := judgeOf(t, 0.3, true)
	e := j.Begin(nil)
	out := chart.Chart{Title: title, Y: chart.Axis{Label: "canary's error rate over the baseline's", Log: true, Min: 0.4, Max: 6},
		Limits: []chart.Limit{{Name: "margin", Value: max(1.25, 1+0.001/c.base)}, {Value: 1, Class: "even"}}}
	line := chart.Line{Name: "estimate", Class: "canary"}
	band := chart.Band{Name: "confidence sequence", Class: "canary"}
	for _, l := range c.looks(c.world(simulation.Scenario{}, effect, 0), rand.NewPCG(*seed, 5)) {
		var v judge.Verdict
		e, v = j.Look(e, l)
		m := v.Metrics[0]
		line.Points = append(line.Points, chart.Point{At: l.At, Value: m.Ratio})
		band.Ranges = append(band.Ranges, chart.Range{At: l.At, Lower: m.Lower, Upper: m.Upper})
		if v.Outcome != judge.Inconclusive {
			out.Moments = append(out.Moments, chart.Moment{Name: string(v.Outcome), At: l.At})
			out.Description = fmt.Sprintf("The estimate and its confidence sequence narrow over time; after %s the verdict is %s.",
				l.At.Sub(time.Unix(0, 0)), v.Outcome)
			break
		}
	}
	out.Lines, out.Bands = []chart.Line{line}, []chart.Band{band}
	return out
}

// byTime draws the share of releases that each method has rolled back, by the minute.
func byTime(title string, c cell, all []method, got []times) chart.Chart {
	out := chart.Chart{Title: title, Y: chart.Axis{Label: c.name, Percent: true, Min: 0, Max: 1}, Height: 300}
	at := func(minutes float64) time.Time {
		return time.Unix(0, 0).UTC().Add(time.Duration(minutes * float64(time.Minute)))
	}
	var parts []string
	for k, f := range got {
		minutes := slices.Sorted(slices.Values(f.minutes))
		line := chart.Line{Name: all[k].name, Class: string(rune('a' + k)), Steps: true, Points: []chart.Point{{At: at(0)}}}
		for i, m := range minutes {
			line.Points = append(line.Points, chart.Point{At: at(m), Value: float64(i+1) / float64(f.share.All)})
		}
		line.Points = append(line.Points, chart.Point{At: at(60), Value: f.share.Value()})
		out.Lines = append(out.Lines, line)
		parts = append(parts, fmt.Sprintf("%s %.0f%%", all[k].name, 100*f.share.Value()))
	}
	out.Description = "Within the hour: " + strings.Join(parts, ", ") + "."
	return out
}

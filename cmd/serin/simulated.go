package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/simulation"
)

// simulated is the outcome of the releases of one kind, as JSON.
type simulated struct {
	// Effect is how many times as bad the canary was; 1 is not worse.
	Effect float64 `json:"effect"`
	// Failed counts the releases that a verdict rolled back; Ends says how the others ended.
	Failed   counted            `json:"failed"`
	Ends     map[string]counted `json:"ends"`
	Metrics  map[string]int     `json:"failedMetrics"`
	Alarms   counted            `json:"sampleRatioAlarms"`
	FoundIn  *spread            `json:"foundInMinutes"`
	Requests *spread            `json:"canaryRequestsUntilFound"`
	Bad      *spread            `json:"badRequestsUntilFound"`
	Released *spread            `json:"releasedAfterMinutes"`
	// RulesOut is how many times as bad a version the passes ruled out, where that follows from a step's time to decide in
	// and not from a margin; nil if it never does.
	RulesOut *spread `json:"rulesOut,omitempty"`

	found []float64 // minutes since the canary's first share
}

// counted is a share with its 95% confidence interval.
type counted struct {
	Of    int     `json:"of"`
	All   int     `json:"all"`
	Share float64 `json:"share"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

func count(of, all int) counted {
	s := simulation.Share{Of: of, All: all}
	lower, upper := s.Interval()
	return counted{of, all, s.Value(), lower, upper}
}

// String is the share in percent with its interval.
func (c counted) String() string {
	return fmt.Sprintf("%.1f%% (%.1f–%.1f)", 100*c.Share, 100*c.Lower, 100*c.Upper)
}

// spread is the median and the middle 80% of what was seen; nil if nothing was seen.
type spread struct {
	Low    float64 `json:"p10"`
	Middle float64 `json:"median"`
	High   float64 `json:"p90"`
}

func spreadOf(values []float64) *spread {
	if len(values) == 0 {
		return nil
	}
	return &spread{simulation.Quantile(values, 0.1), simulation.Quantile(values, 0.5), simulation.Quantile(values, 0.9)}
}

func (s *spread) words(unit string) string {
	if s == nil {
		return "–"
	}
	n := func(v float64) string {
		if v < 10 {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return fmt.Sprintf("%s%s (%s–%s)", n(s.Middle), unit, n(s.Low), n(s.High))
}

func summarise(effect float64, outcomes []simulation.Outcome) simulated {
	out := simulated{Effect: effect, Ends: map[string]counted{}, Metrics: map[string]int{}}
	ends := map[simulation.End]int{simulation.RolledBack: 0, simulation.Released: 0, simulation.Asked: 0, simulation.Undecided: 0}
	failed, alarms := 0, 0
	var minutes, requests, bad, released, rules []float64
	for _, o := range outcomes {
		if o.RulesOut > 0 {
			rules = append(rules, o.RulesOut)
		}
		if o.Alarms {
			alarms++
		}
		switch {
		case o.Failed:
			failed++
			out.Metrics[o.Metric]++
			out.found = append(out.found, o.Took.Minutes())
			if effect == 1 || o.Fault >= 0 {
				minutes = append(minutes, max(o.Fault, 0).Minutes())
			}
			requests, bad = append(requests, o.Requests), append(bad, o.Bad)
			continue
		case o.End == simulation.Released:
			released = append(released, o.Took.Minutes())
		}
		ends[o.End]++
	}
	for end, n := range ends {
		out.Ends[string(end)] = count(n, len(outcomes))
	}
	out.Failed, out.Alarms = count(failed, len(outcomes)), count(alarms, len(outcomes))
	out.FoundIn, out.Requests, out.Bad, out.Released = spreadOf(minutes), spreadOf(requests), spreadOf(bad), spreadOf(released)
	out.RulesOut = spreadOf(rules)
	return out
}

func (a *app) simulatedTable(w io.Writer, s *simulating, kinds []simulated) error {
	head := []string{"", "NO WORSE"}
	for _, k := range kinds[1:] {
		head = append(head, fmt.Sprintf("×%g", k.Effect))
	}
	rows := [][]cell{}
	add := func(name string, text func(simulated) string) {
		line := []cell{{name, bold}}
		for _, k := range kinds {
			line = append(line, cell{text(k), plain})
		}
		rows = append(rows, line)
	}
	add("rolled back by a verdict", func(k simulated) string { return k.Failed.String() })
	add("  by", func(k simulated) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(k.Metrics)) {
			parts = append(parts, fmt.Sprintf("%s %d", name, k.Metrics[name]))
		}
		return cmp.Or(strings.Join(parts, ", "), "–")
	})
	add("  minutes from the fault", func(k simulated) string { return k.FoundIn.words("") })
	add("  canary's requests by then", func(k simulated) string { return k.Requests.words("") })
	add("  bad ones among them", func(k simulated) string { return k.Bad.words("") })
	add("released", func(k simulated) string { return k.Ends[string(simulation.Released)].String() })
	add("  minutes until then", func(k simulated) string { return k.Released.words("") })
	if slices.ContainsFunc(kinds, func(k simulated) bool { return k.RulesOut != nil }) {
		add("  times as bad ruled out", func(k simulated) string { return k.RulesOut.words("") })
	}
	add("asked a person", func(k simulated) string { return k.Ends[string(simulation.Asked)].String() })
	add("rolled back by a policy", func(k simulated) string { return k.Ends[string(simulation.RolledBack)].String() })
	add("undecided at the limit", func(k simulated) string { return k.Ends[string(simulation.Undecided)].String() })
	if err := a.table(w, head, rows); err != nil {
		return err
	}
	past := "a first release, before anything has been learned"
	if s.earlier > 0 {
		past = fmt.Sprintf("%d good releases before", s.earlier)
	}
	_, err := fmt.Fprintf(w, "\n%d releases each, %s, %s requests a second, worse in %s, seed %d.\n"+
		"Shares have their 95%% intervals; the others are medians, with the middle 80%%.\n",
		s.releases, past, strconv.FormatFloat(s.rate, 'g', -1, 64), strings.Join(s.worse, ", "), s.seed)
	return err
}

// draw writes the chart, if one was requested.
func (s *simulating) draw(kinds []simulated, w simulation.World) error {
	if s.chart == "" {
		return nil
	}
	begin := time.Unix(0, 0).UTC()
	at := func(minutes float64) time.Time { return begin.Add(time.Duration(minutes * float64(time.Minute))) }
	end := 10.0
	for _, k := range kinds {
		for _, m := range k.found {
			end = max(end, m)
		}
	}
	c := chart.Chart{
		Title: "Releases rolled back by a verdict", Origin: begin, From: begin, To: at(end), Height: 300,
		Y: chart.Axis{Label: fmt.Sprintf("share of %d releases; %g requests a second, %s", s.releases, w.Rate, s.scenario), Percent: true, Max: 1},
	}
	if s.from > 0 {
		c.Moments = []chart.Moment{{Name: "fault", At: begin.Add(s.from)}}
	}
	var parts []string
	for i, k := range kinds {
		name := "no worse"
		if k.Effect != 1 || i > 0 {
			name = fmt.Sprintf("×%g", k.Effect)
		}
		line := chart.Line{Name: name, Class: string(rune('a' + i%6)), Steps: true, Points: []chart.Point{{At: begin}}} //nolint:gosec // a letter
		for n, m := range slices.Sorted(slices.Values(k.found)) {
			line.Points = append(line.Points, chart.Point{At: at(m), Value: float64(n+1) / float64(k.Failed.All)})
		}
		line.Points = append(line.Points, chart.Point{At: at(end), Value: k.Failed.Share})
		c.Lines = append(c.Lines, line)
		parts = append(parts, fmt.Sprintf("%s: %.1f%%", name, 100*k.Failed.Share))
	}
	c.Description = "In the end, " + strings.Join(parts, ", ") + "."
	return writeFile(s.chart, c.Standalone())
}

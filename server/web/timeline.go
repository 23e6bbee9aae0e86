package web

import (
	"html/template"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

const (
	// The widths of a timeline: of the page, and of a phone.
	timelineWidth, narrowWidth = 1160, 360
	timelineHeight             = 170
	// mostSeries is how many metrics are drawn below the weight; the page has the numbers of all.
	mostSeries = 8
	// mostMoments is how many moments have names: more would overlap, as would more than fewMoments on a phone.
	mostMoments, fewMoments = 10, 3
)

// Plot is a chart in two widths; the page shows the one that fits the screen.
type Plot struct{ Wide, Narrow template.HTML }

// newPlot draws a chart in both widths.
func newPlot(c chart.Chart) Plot {
	narrow := c
	narrow.ID, narrow.Width = c.ID+"-narrow", narrowWidth
	narrow.Moments = slices.Clone(c.Moments)
	for i := range narrow.Moments[:max(0, len(c.Moments)-fewMoments)] {
		narrow.Moments[i].Name = ""
	}
	return Plot{inline(c), inline(narrow)}
}

// series is one metric's values in both arms over time.
type series struct {
	// of is the newest verdict on the metric.
	of               judge.MetricVerdict
	name, label      string
	gauge            bool
	objective        float64 // 0 for none
	canary, baseline []chart.Point
}

// span is the time that a release has taken, with some room at the end; ok is false if no traffic has moved.
func span(v record.View, events []rollout.Event, now time.Time) (part stretch, ok bool) {
	if v.Release == nil || !v.State.Moved || len(events) == 0 {
		return stretch{}, false
	}
	from, to := events[0].Head().At, now
	if v.State.Ended() {
		to = v.State.EndedAt
	}
	return stretch{from, to.Add(max(to.Sub(from)/50, time.Second))}, true
}

// newTimeline draws the weight as it was requested and as it was served, and below it, with the same time axis, both arms of
// every metric.
func newTimeline(v record.View, events []rollout.Event, all []series, part stretch) []Plot {
	all = all[:min(len(all), mostSeries)]
	weight := weightChart(v, events, part)
	var times []time.Time
	for _, l := range weight.Lines {
		for _, p := range l.Points {
			times = append(times, p.At)
		}
	}
	for _, s := range all {
		for _, p := range s.canary {
			times = append(times, p.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	weight.HoverAt = times
	out := []Plot{newPlot(weight)}
	for i, s := range all {
		c := s.chart(i, part)
		c.HoverAt, c.Moments = times, unnamed(weight.Moments)
		out = append(out, newPlot(c))
	}
	return out
}

// weightChart draws the canary's share of all traffic over time, and in an A/B test its share of the group.
func weightChart(v record.View, events []rollout.Event, part stretch) chart.Chart {
	asked := chart.Line{Name: "asked for", Class: "wanted", Steps: true, Dashed: true}
	served := chart.Line{Name: "served", Class: "canary", Steps: true}
	group := groupLine(v, events, part.to)
	c := chart.Chart{
		ID: "weight", Title: "Share of the traffic on the new version",
		Description: "How much of the traffic was asked to go to the new version, and how much did.",
		Width:       timelineWidth, Height: timelineHeight, Hover: true, Y: chart.Axis{Percent: true}, From: part.from, To: part.to,
	}
	now, most := 0.0, 0.08
	put := func(l *chart.Line, at time.Time, value float64) {
		l.Points = append(l.Points, chart.Point{At: at, Value: value})
	}
	for i, e := range events {
		at := e.Head().At
		if i == 0 {
			put(&asked, at, 0)
			put(&served, at, 0)
		}
		if name, class := momentOfEvent(e); name != "" && part.has(at) {
			c.Moments = append(c.Moments, chart.Moment{Name: name, Class: class, At: at})
		}
		if want, ok := askedFor(v, e); ok && want != now {
			now, most = want, max(most, want)
			put(&asked, at, now)
		}
		if _, ok := e.(rollout.InForce); ok && served.Points[len(served.Points)-1].Value != now {
			put(&served, at, now)
		}
	}
	put(&asked, part.to, now)
	put(&served, part.to, served.Points[len(served.Points)-1].Value)
	c.Lines = []chart.Line{asked, served}
	if len(group.Points) > 0 {
		c.Lines = append(c.Lines, group)
		most = max(most, topOf(group)/topRoom)
	}
	c.Y.Max = min(1.4*most, 1.2) // leaves room for the names of moments above the lines
	c.Moments = c.Moments[max(0, len(c.Moments)-mostMoments):]
	return c
}

// groupLine is the share of a group that gets the new version while an A/B test is in force.
func groupLine(v record.View, events []rollout.Event, to time.Time) chart.Line {
	l := chart.Line{Name: "of the A/B group", Class: "a", Steps: true}
	waiting, open := 0.0, false
	put := func(at time.Time, value float64) { l.Points = append(l.Points, chart.Point{At: at, Value: value}) }
	leave := func(at time.Time) {
		if open {
			put(at, l.Points[len(l.Points)-1].Value)
			put(at, math.NaN())
		}
		waiting, open = 0, false
	}
	for _, e := range events {
		at := e.Head().At
		switch e := e.(type) {
		case rollout.StepEntered:
			if ab, ok := stepOf(v, e.Step).(rollout.AB); ok && e.What == rollout.StageAB && !e.Prepare {
				waiting = float64(ab.Cohort.Split)
			} else if !e.Prepare {
				leave(at)
			}
		case rollout.InForce:
			if waiting > 0 {
				put(at, waiting)
				waiting, open = 0, true
			}
		default:
			if tell.TurnedBack(v.State, e) != "" {
				leave(at)
			}
		}
	}
	leave(to)
	return l
}

// askedFor is the share that an event requests; ok is false for an event that does not change it.
func askedFor(v record.View, e rollout.Event) (weight float64, ok bool) {
	if tell.TurnedBack(v.State, e) != "" {
		return 0, true
	}
	entered, isEntry := e.(rollout.StepEntered)
	if !isEntry || entered.Prepare {
		return 0, false
	}
	switch entered.What {
	case rollout.StageGray:
		if g, isGray := stepOf(v, entered.Step).(rollout.Gray); isGray && entered.Stage >= 0 && entered.Stage < len(g.Weights) {
			return float64(g.Weights[entered.Stage]), true
		}
	case rollout.StagePromote, rollout.StageReturn: // stable is the new version, or becomes it
		return 1, true
	case rollout.StageAB, rollout.StageDeploy, rollout.StagePatch, rollout.StageAwait, rollout.StageLeave,
		rollout.StageGate, rollout.StageStill, rollout.StageWatch, rollout.StageMirror, rollout.StagePreview:
	}
	return 0, false
}

func stepOf(v record.View, i int) rollout.Step {
	if i < 0 || i >= len(v.Steps) {
		return nil
	}
	return v.Steps[i]
}

// momentOfEvent is the mark of an event on a chart; the name is empty for events without one.
func momentOfEvent(e rollout.Event) (name, class string) {
	switch turned := tell.Turns(e); {
	case turned != "":
		if _, judged := e.(rollout.LookTaken); judged {
			return "found worse", "bad"
		}
		return "taken back", "bad"
	}
	switch e := e.(type) {
	case rollout.StepEntered:
		if e.What == rollout.StageAB && !e.Prepare {
			return "A/B", ""
		}
	case rollout.GateAnswered:
		return "gate " + answerPill(e.Answer).Text, ""
	case rollout.Paused:
		return "paused", "wait"
	case rollout.WentOn:
		return "sent on", "wait"
	case rollout.Resumed:
		return "resumed", ""
	case rollout.Drifted:
		return "changed from outside", "wait"
	default:
	}
	return "", ""
}

func unnamed(moments []chart.Moment) []chart.Moment {
	out := make([]chart.Moment, len(moments))
	for i, m := range moments {
		out[i] = chart.Moment{Class: m.Class, At: m.At}
	}
	return out
}

// joinedSeries returns the metrics of all scopes: one that is measured in several has one chart, with gaps in between.
func joinedSeries(scopes []Scope) []series {
	var all [][]series
	for _, scope := range scopes {
		all = append(all, scope.series)
	}
	return joined(all)
}

// joined is [joinedSeries] for the series of each scope, the newest scope first.
func joined(all [][]series) []series {
	var out []series
	at := map[string]int{}
	for _, scope := range slices.Backward(all) { // the oldest first
		for _, s := range scope {
			k, known := at[s.name]
			if !known {
				at[s.name] = len(out)
				out = append(out, s)
				continue
			}
			joined := out[k]
			joined.canary, joined.baseline = after(joined.canary, s.canary), after(joined.baseline, s.baseline)
			out[k] = joined
		}
	}
	return out
}

// after joins b to a, with a gap: nothing is known of the time between them.
func after(a, b []chart.Point) []chart.Point {
	if len(a) == 0 || len(b) == 0 {
		return append(slices.Clip(a), b...)
	}
	gap := chart.Point{At: a[len(a)-1].At, Value: math.NaN()}
	return append(append(slices.Clip(a), gap), b...)
}

// chart draws both arms over a part of a release.
func (s series) chart(i int, part stretch) chart.Chart {
	canary := chart.Line{Name: "new version", Class: "canary", Points: s.canary}
	baseline := chart.Line{Name: "version before", Class: "baseline", Dashed: true, Points: s.baseline}
	c := chart.Chart{
		ID: "rates-" + strconv.Itoa(i), Title: s.name, Description: s.name + " in both arms over time.",
		Width: timelineWidth, Height: timelineHeight, Hover: true, Y: chart.Axis{Label: s.label, Percent: !s.gauge}, From: part.from, To: part.to,
		Lines: []chart.Line{baseline, canary},
	}
	if !s.gauge {
		c.Y.Max = topOf(canary, baseline)
	}
	if s.objective > 0 {
		c.Lines, c.Limits = []chart.Line{canary}, []chart.Limit{{Name: "objective", Class: "baseline", Value: s.objective}}
		c.Y.Max = max(topOf(canary), 1.1*s.objective)
	}
	return c
}

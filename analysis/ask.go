package analysis

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Template is the part of an ask that many releases share: everything but the label value of the release. Two asks with
// equal templates (==) can be one query.
type Template struct {
	// Name is the metric's name and Matchers the other matchers, comma-separated, in canonical order, escaped. Both are
	// empty if Expression is set, unless it counts the series that they select.
	Name     string
	Matchers string
	// By is the label whose values differ among the asks (service), or empty.
	By string
	// Expression is a gauge's whole expression, if it is more than a selector.
	Expression string
	// Instant asks for the value at one time instead of raw samples over a range.
	Instant bool
	// From is the name of the source; empty means the daemon's own.
	From string
}

// Query renders the template for all given values of By at once (sorted, without duplicates; none if By is empty) and
// for a range, which is ignored if the template is Instant. The range is rounded up to milliseconds, as the times of an
// [Ask] are.
func (t Template) Query(values []string, window time.Duration) string {
	if t.Expression != "" {
		return t.Expression
	}
	var b strings.Builder
	b.WriteString(t.Name)
	b.WriteByte('{')
	b.WriteString(t.Matchers)
	if t.By != "" {
		if t.Matchers != "" {
			b.WriteByte(',')
		}
		b.WriteString(t.By)
		b.WriteString(alternation(values))
	}
	b.WriteByte('}')
	if !t.Instant {
		ms := (window + time.Millisecond - 1).Milliseconds()
		b.WriteByte('[')
		b.WriteString(strconv.FormatInt(max(ms, 1), 10))
		b.WriteString("ms]")
	}
	return b.String()
}

// LabelMatch is one label matcher of a query.
type LabelMatch struct{ Label, Op, Value string }

// Matches returns the matchers of an ask for series, in their canonical order; nil if it asks for an expression.
func (a Ask) Matches() []LabelMatch {
	if a.Template.Name == "" || a.Template.Expression != "" {
		return nil
	}
	t := a.Template
	t.Instant = true
	s, err := parseSelector(t.Query([]string{a.Value}, 0))
	if err != nil {
		return nil // a broken invariant: it was rendered from a parsed one
	}
	out := make([]LabelMatch, len(s.matchers))
	for i, m := range s.matchers {
		out[i] = LabelMatch{m.label, m.op, m.value}
	}
	return out
}

// Select writes a selector.
func Select(name string, matches []LabelMatch) string {
	s := selector{name: name}
	for _, m := range matches {
		s.matchers = append(s.matchers, matcher{m.Label, m.Op, m.Value})
	}
	return s.String()
}

// Ask is one question to a source: the samples of a template's series whose label By has Value, in the window (From,
// To], or at To if the template is Instant. Times are whole milliseconds.
type Ask struct {
	Template Template
	Value    string
	From, To time.Time

	shift  int64   // of an offset baseline, ms; the fields below and the cursor are in times of the look
	after  int64   // counted up to here already, ms
	fresh  bool    // never answered before: samples up to after only serve as bases
	absent int64   // an unknown series had no sample from here on, ms
	cursor *Cursor // what is known of the series; never changed
	id     uint64
}

// NeedsScrapes reports whether counting s needs the times at which its target was scraped: the series is new, or was
// gone so long that it may have begun again. The source then adds [Answer.Scrapes] to its answer, for the window that
// begins at [Ask.ScrapesFrom].
func (a Ask) NeedsScrapes(s Series) bool {
	if a.Template.Instant || len(s.Samples) == 0 {
		return false
	}
	p, ok := a.cursor.series[seriesID(a.id, s.Labels)]
	if !ok {
		i := 0
		if !a.fresh {
			i = firstAfter(s.Samples, a.after-a.shift)
		}
		return i < len(s.Samples) && s.Samples[i].T+a.shift > a.after
	}
	i := firstAfter(s.Samples, p.t-a.shift)
	return i < len(s.Samples) && s.Samples[i].T+a.shift-p.t > Stale.Milliseconds()
}

// ScrapesFrom is the exclusive start of the window, ending at To, in which scrapes of a target matter.
func (a Ask) ScrapesFrom() time.Time { return time.UnixMilli(a.absent - a.shift).UTC() }

// Label is one label of a series.
type Label struct{ Name, Value string }

// Labels are ascending by name, without the metric's name.
type Labels []Label

// Get returns the value of a label, or "" without the label, as in PromQL.
func (l Labels) Get(name string) string {
	for i := range l {
		if l[i].Name == name {
			return l[i].Value
		}
	}
	return ""
}

// Sample is one raw sample.
type Sample struct {
	// T is in milliseconds since 1970.
	T int64
	// V is the value if H is nil.
	V float64
	H *Histogram
}

// Series is one series with its raw samples, ascending in time. It is read-only and may be shared by answers.
type Series struct {
	Labels  Labels
	Samples []Sample
}

// Target is what Prometheus scrapes: the labels job and instance of a series.
type Target struct{ Job, Instance string }

// TargetOf returns the target of a series; ok is false if it carries neither label, so that nothing is known about its
// scrapes.
func TargetOf(l Labels) (t Target, ok bool) {
	t = Target{Job: l.Get("job"), Instance: l.Get("instance")}
	return t, t != Target{}
}

// Answer is a source's answer to one ask.
type Answer struct {
	Series []Series
	// Scrapes holds the times (ms, ascending) at which scrapes of a target succeeded, at least in the window from
	// [Ask.ScrapesFrom], for the targets of those series for which [Ask.NeedsScrapes] is true. It may be shared.
	Scrapes map[Target][]int64
	// Err is why there is no answer. Refused: the source rejected the question, so that asking again changes nothing;
	// otherwise it could not be reached or was too slow.
	Err     error
	Refused bool
	// Hint names what comes closest among the source's series if there is none; empty if nothing does.
	Hint string
}

// ScrapesQuery asks for the outcomes of the scrapes of targets in a window, as raw samples of the series up, whose
// value is 1 for a scrape that succeeded. The result may contain further targets.
func ScrapesQuery(targets []Target, window time.Duration) string {
	jobs, instances := make([]string, 0, len(targets)), make([]string, 0, len(targets))
	for _, t := range targets {
		jobs, instances = append(jobs, t.Job), append(instances, t.Instance)
	}
	slices.Sort(jobs)
	slices.Sort(instances)
	return Template{Name: "up", Matchers: "job" + alternation(slices.Compact(jobs)), By: "instance"}.Query(slices.Compact(instances), window)
}

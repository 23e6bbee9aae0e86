package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/serindev/serin/judge"
)

// Problem is one fault of a definition.
type Problem struct {
	// Path is its place in the document: metrics[1].ratio.bad.
	Path string
	Text string
}

// Error implements error.
func (p *Problem) Error() string { return p.Path + ": " + p.Text }

// The variables that every selector may use, in addition to a rollout's parameters.
var builtIn = []string{"service", "arm", "version", "pods", "instances", "hosts"}

// Validate checks a definition as a whole; parameters are the names that a rollout declares. The error joins all
// problems, each a *[Problem]. Zero values are taken as their defaults.
func (d Definition) Validate(parameters ...string) error {
	d = d.Defaults()
	c := &checker{known: slices.Concat(builtIn, parameters)}
	c.check(d.Interval > 0, "interval", "has to be above 0")
	c.check(d.FalseRollback > 0 && d.FalseRollback < 0.5, "falseRollback", "has to be above 0 and below 50%%")
	c.check(d.FalseAdvance > 0 && d.FalseAdvance < 0.5, "falseAdvance", "has to be above 0 and below 50%%")
	c.check(d.MinRequests >= 0 && d.MinRequests < 1<<53, "minRequests", "has to be a number of requests")
	c.check(*d.WarmUp >= 0, "warmUp", "must not be negative")
	c.check(d.PassAfter == nil || *d.PassAfter >= 0, "passAfter", "must not be negative")
	c.check(d.Settle >= 0 && d.Settle <= Stale, "settle", "has to be between 0 and %s", Stale)
	c.check(d.Fresh.Every > 0, "fresh.every", "has to be above 0")
	c.check(d.Fresh.Live > 0 && d.Fresh.Live <= 64, "fresh.live", "has to be between 1 and 64")
	c.check(positive(d.Split.Noise), "split.noise", "has to be above 0")
	c.check(d.Split.FalseAlarm > 0 && d.Split.FalseAlarm < 0.5, "split.falseAlarm", "has to be above 0 and below 0.5")
	c.check(d.Split.Tolerance > 0, "split.tolerance", "has to be above 0")
	if !d.Split.Off {
		c.selector("split.requests", d.Split.Requests)
	}
	c.check(len(d.Metrics) > 0, "metrics", "there is none")
	seen := map[string]bool{}
	for i := range d.Metrics {
		m := &d.Metrics[i]
		path := fmt.Sprintf("metrics[%d]", i)
		c.check(m.Name != "", path+".name", "is missing")
		c.check(!seen[m.Name], path+".name", "%q is used twice", m.Name)
		seen[m.Name] = true
		c.metric(path, m)
	}
	return errors.Join(c.problems...)
}

// checker collects problems.
type checker struct {
	known    []string
	problems []error
}

func (c *checker) check(ok bool, path, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, &Problem{path, fmt.Sprintf(format, args...)})
	}
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }

func (c *checker) metric(path string, m *Metric) {
	c.check(positive(m.Weight), path+".weight", "has to be above 0")
	c.check(positive(m.Noise), path+".noise", "has to be above 0")
	c.check(*m.Margin.Relative >= 0, path+".margin.relative", "must not be negative")
	if m.ownUnit() {
		c.check(*m.Margin.Absolute >= 0 && *m.Margin.Absolute <= 1e12, path+".margin.absolute", "has to be between 0 and 1e12")
		c.check(*m.Margin.Absolute == 0 || *m.Margin.Relative > 0, path+".margin.relative",
			"has to be above 0 where absolute is given: a gauge or a mean has both together")
	} else {
		c.check(*m.Margin.Absolute >= 0 && *m.Margin.Absolute < 1, path+".margin.absolute", "has to be between 0 and 100%%")
	}
	c.check(*m.Margin.Relative > 0 || *m.Margin.Absolute > 0, path+".margin",
		"has to be above 0: without a margin nothing can ever be called no worse")
	c.check(slices.Contains([]judge.Direction{judge.Increase, judge.Decrease, judge.Either}, m.Direction), path+".direction",
		"%q is none of increase, decrease, either", m.Direction)
	switch s := m.Source.(type) {
	case Ratio:
		c.check((s.Bad == "") != (s.Good == ""), path+".ratio", "needs exactly one of bad and good")
		if s.Bad != "" {
			c.selector(path+".ratio.bad", s.Bad)
		}
		if s.Good != "" {
			c.selector(path+".ratio.good", s.Good)
		}
		c.selector(path+".ratio.total", s.Total)
	case Slow:
		c.selector(path+".histogram", s.Histogram)
		c.check(s.SlowerThan > 0, path+".slowerThan", "has to be above 0")
	case Distribution:
		c.distribution(path, s)
	case Mean:
		c.selector(path+".mean.sum", s.Sum)
		c.selector(path+".mean.count", s.Count)
	case Gauge:
		c.gauge(path+".gauge.query", s.Query)
	case nil:
		c.check(false, path, "does not say what to measure: preset, ratio, histogram, mean or gauge")
	}
	c.baseline(path, m)
	if m.Replicas != "" {
		err := m.CheckReplicas()
		c.check(err == nil, path+".replicas", "%v", err)
	}
	if m.Clusters != "" {
		err := m.CheckClusters()
		c.check(err == nil, path+".clusters", "%v", err)
	}
	if m.By != "" {
		err := m.CheckBy()
		c.check(err == nil, path+".by", "%v", err)
		c.check(m.Values >= 1 && m.Values <= MostValues, path+".values", "has to be between 1 and %d", MostValues)
	}
	c.check(m.By != "" || m.Values == 0, path+".values", "is how many values of the label by are judged one by one; there is no by")
}

// MostValues bounds how many values of a label are judged one by one: each costs as much as a metric.
const MostValues = 100

// CheckBy explains why [Metric.By] cannot divide the metric's counts.
func (m Metric) CheckBy() error {
	var counted, all Selector
	switch s := m.Source.(type) {
	case Ratio:
		counted, all = Selector(cmp.Or(string(s.Bad), string(s.Good))), s.Total
	case Slow:
		counted, all = s.Histogram, s.Histogram
	case Distribution: // 10 bounds and 20 values are 210 comparisons of 10 kB, and a release is to take 30 kB
		return errors.New("is for ratio and slow: a distribution would be judged at every bound for every value. " +
			"Leave it whole, and add a metric with this by that says slow: {histogram: …, slowerThan: …} at the bound that matters most")
	case Mean, Gauge, nil:
		return errors.New("is for ratio and slow: a mean or a gauge is not divided")
	}
	_, fixed := m.Baseline.(Fixed)
	switch {
	case !isLabel(m.By):
		return fmt.Errorf("%q is not the name of a label", m.By)
	case fixed:
		return errors.New("needs a baseline that is divided as well, not a fixed rate")
	case m.Clusters != "":
		return errors.New("a metric has either clusters, where users are divided, or by")
	case m.By == "le":
		return errors.New("le is the label of a histogram's buckets")
	}
	events, err := parseSelector(string(counted))
	total, err2 := parseSelector(string(all))
	if err != nil || err2 != nil {
		return nil // reported for the selector itself
	}
	if rest, _ := events.within(total); slices.ContainsFunc(rest, func(o matcher) bool { return o.label == m.By }) {
		return fmt.Errorf("the label %s is what makes a request count as an event: choose another one, such as route", m.By)
	}
	return nil
}

// CheckClusters explains why [Metric.Clusters] cannot distinguish groups of users.
func (m Metric) CheckClusters() error {
	_, fixed := m.Baseline.(Fixed)
	_, offset := m.Baseline.(Offset)
	switch {
	case !isLabel(m.Clusters):
		return fmt.Errorf("%q is not the name of a label", m.Clusters)
	case m.Replicas != "":
		return errors.New("a metric has either clusters, where users are divided, or replicas")
	case m.ownUnit() || fixed || offset:
		return errors.New("is for counts of two arms that serve at the same time, between which users are divided")
	}
	return nil
}

// CheckReplicas explains why [Metric.Replicas] cannot distinguish the replicas of the version in service.
func (m Metric) CheckReplicas() error {
	if !isLabel(m.Replicas) {
		return fmt.Errorf("%q is not the name of a label", m.Replicas)
	}
	if _, ok := m.Baseline.(Offset); ok {
		return errors.New("the replicas of an earlier time have other names: leave it out, or compare with stable at the same time")
	}
	var text Selector
	switch s := m.Source.(type) {
	case Ratio:
		text = s.Total
	case Slow:
		text = s.Histogram
	case Distribution:
		text = s.Histogram
	case Mean:
		return errors.New("is for what has a past: the replicas of a mean are not told apart")
	case Gauge:
		text = Selector(s.Query)
	case nil:
	}
	_, err := parseSelector(string(text))
	switch _, gauge := m.Source.(Gauge); {
	case gauge && err != nil:
		return errors.New("needs a gauge whose query is a selector (a name and matchers in braces), because it reads raw samples")
	case err == nil && ofGateway(text):
		return errors.New("the gateway's own series distinguish the gateway's replicas, not the service's")
	}
	return nil
}

// ofGateway reports whether a selector selects series that the gateway writes: only the gateway labels them with its own
// name of an arm's service.
func ofGateway(s Selector) bool { return strings.Contains(string(s), "${service}") }

func isLabel(s string) bool {
	ts, err := tokens(s)
	return err == nil && len(ts) == 1 && ts[0].kind == tokenWord && ts[0].text == s && isLabelName(s)
}

func (c *checker) distribution(path string, s Distribution) {
	c.selector(path+".histogram", s.Histogram)
	c.check(len(s.Bounds) > 0 && len(s.Bounds) <= 64, path+".bounds", "needs between 1 and 64 bounds")
	c.check(!slices.ContainsFunc(s.Bounds, func(b float64) bool { return math.IsNaN(b) || math.IsInf(b, 0) }), path+".bounds", "have to be finite")
	c.check(slices.IsSorted(s.Bounds) && len(slices.Compact(slices.Clone(s.Bounds))) == len(s.Bounds), path+".bounds", "have to grow")
	c.check(s.Nearest == 0 || slices.Contains(s.Bounds, s.Nearest), path+".nearest", "is not one of the bounds")
}

func (c *checker) baseline(path string, m *Metric) {
	switch b := m.Baseline.(type) {
	case Fixed:
		c.check(b.Rate > 0 && b.Rate < 1, path+".baseline.fixed", "has to be above 0 and below 100%%")
		c.check(m.Direction == judge.Increase, path+".direction", "a fixed baseline is a rate that must not be exceeded: increase")
		switch s := m.Source.(type) {
		case Ratio:
			c.check(s.Good == "", path+".ratio.good", "a fixed baseline compares what is bad")
		case Mean, Gauge:
			c.check(false, path+".baseline.fixed", "is for ratios; a mean or a gauge is compared with another arm or another time")
		case Distribution:
			c.check(false, path+".baseline.fixed", "is for ratios; give a bound with slowerThan")
		case Slow, nil:
		}
	case Offset:
		c.check(b.By > 0, path+".baseline.offset", "has to be above 0")
	case Concurrent, nil:
	}
}

// selector checks that a selector can be read and refers to known variables only.
func (c *checker) selector(path string, text Selector) {
	s, err := parseSelector(string(text))
	if err != nil {
		c.check(false, path, "%v", err)
		return
	}
	if _, err := s.substitute(c.names()); err != nil {
		c.check(false, path, "%v", err)
	}
}

func (c *checker) gauge(path, query string) {
	n := c.names()
	_, err := parseSelector(query)
	if err == nil {
		c.selector(path, Selector(query))
		return
	}
	if _, err := n.substituteExpression(query); err != nil {
		c.check(false, path, "%v", err)
	}
}

// names gives every known variable a value, so that substitution reveals the faults of a text.
func (c *checker) names() Names {
	n := Names{Service: "x", Vars: map[string][]string{}}
	for _, k := range c.known {
		n.Vars[k] = []string{"x"}
		if k == "pods" || k == "instances" || k == "hosts" {
			n.Vars[k] = []string{"x", "y"}
		}
	}
	return n
}

// Variables returns the names of the variables in a definition's selectors, ascending.
func (d Definition) Variables() []string {
	var texts []string
	if !d.Split.Off {
		texts = append(texts, string(d.Split.Requests))
	}
	for i := range d.Metrics {
		switch s := d.Metrics[i].Source.(type) {
		case Ratio:
			texts = append(texts, string(s.Bad), string(s.Good), string(s.Total))
		case Slow:
			texts = append(texts, string(s.Histogram))
		case Distribution:
			texts = append(texts, string(s.Histogram))
		case Mean:
			texts = append(texts, string(s.Sum), string(s.Count))
		case Gauge:
			texts = append(texts, s.Query)
		case nil:
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(variables(strings.Join(texts, "\n")))))
}

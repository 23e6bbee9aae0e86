package analysis_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/share"
)

// upTo returns the numbers from 1 to n.
func upTo(n int) (out []float64) {
	for i := range n {
		out = append(out, float64(i+1))
	}
	return out
}

// Each limit of a definition is tried with the last valid value and the first invalid one. A zero field means its
// default, so zero is tried only for pointers.
func TestWhereTheLimitsOfADefinitionAre(t *testing.T) { //nolint:funlen // a table
	type def = analysis.Definition
	zero, one := new(share.Share(0)), new(share.Share(1))
	const tiny = 1e-9
	counted := analysis.Ratio{Bad: "b", Total: "t"}
	metric := func(change func(m *analysis.Metric)) func(*def) { return func(d *def) { change(&d.Metrics[0]) } }
	gauge := func(relative, absolute *share.Share) func(*def) {
		return metric(func(m *analysis.Metric) {
			m.Source, m.Margin = analysis.Gauge{Query: "g"}, analysis.Margin{Relative: relative, Absolute: absolute}
		})
	}
	margin := func(relative, absolute *share.Share) func(*def) {
		return metric(func(m *analysis.Metric) { m.Margin = analysis.Margin{Relative: relative, Absolute: absolute} })
	}
	bounds := func(bounds ...float64) func(*def) {
		return metric(func(m *analysis.Metric) { m.Source = analysis.Distribution{Histogram: "h", Bounds: bounds} })
	}
	objective := func(source analysis.Source, rate float64, direction judge.Direction) func(*def) {
		return metric(func(m *analysis.Metric) {
			m.Source, m.Baseline, m.Direction = source, analysis.Fixed{Rate: share.Share(rate)}, direction
		})
	}
	clusters := func(change func(m *analysis.Metric)) func(*def) {
		return metric(func(m *analysis.Metric) { m.Clusters = "user"; change(m) })
	}
	const relative, absolute, fixed = "metrics[0].margin.relative", "metrics[0].margin.absolute", "metrics[0].baseline.fixed"
	for name, c := range map[string]struct {
		change func(*def)
		path   string // of the invalid field; empty if there is none
	}{
		"as it is":                         {func(*def) {}, ""},
		"no metric":                        {func(d *def) { d.Metrics = nil }, "metrics"},
		"half of all for a false rollback": {func(d *def) { d.FalseRollback = 0.5 }, "falseRollback"},
		"just below":                       {func(d *def) { d.FalseRollback = 0.5 - tiny }, ""},
		"less than none":                   {func(d *def) { d.FalseRollback = -tiny }, "falseRollback"},
		"half of all for a false advance":  {func(d *def) { d.FalseAdvance = 0.5 }, "falseAdvance"},
		"just below that":                  {func(d *def) { d.FalseAdvance = 0.5 - tiny }, ""},
		"less than no false advance":       {func(d *def) { d.FalseAdvance = -tiny }, "falseAdvance"},
		"too many requests for a float":    {func(d *def) { d.MinRequests = 1 << 53 }, "minRequests"},
		"the most requests":                {func(d *def) { d.MinRequests = 1<<53 - 1 }, ""},
		"fewer than no requests":           {func(d *def) { d.MinRequests = -1 }, "minRequests"},
		"no warm-up":                       {func(d *def) { d.WarmUp = new(time.Duration(0)) }, ""},
		"less than none of it":             {func(d *def) { d.WarmUp = new(-time.Nanosecond) }, "warmUp"},
		"a pass at once":                   {func(d *def) { d.PassAfter = new(time.Duration(0)) }, ""},
		"a pass before that":               {func(d *def) { d.PassAfter = new(-time.Nanosecond) }, "passAfter"},
		"to settle as long as a gap":       {func(d *def) { d.Settle = analysis.Stale }, ""},
		"longer":                           {func(d *def) { d.Settle = analysis.Stale + 1 }, "settle"},
		"to settle before":                 {func(d *def) { d.Settle = -1 }, "settle"},
		"64 live":                          {func(d *def) { d.Fresh.Live = 64 }, ""},
		"65 live":                          {func(d *def) { d.Fresh.Live = 65 }, "fresh.live"},
		"fewer than one live":              {func(d *def) { d.Fresh.Live = -1 }, "fresh.live"},
		"fresh before":                     {func(d *def) { d.Fresh.Every = -1 }, "fresh.every"},
		"a split without tolerance":        {func(d *def) { d.Split.Tolerance = -tiny }, "split.tolerance"},
		"half of all for a false alarm":    {func(d *def) { d.Split.FalseAlarm = 0.5 }, "split.falseAlarm"},
		"just below such an alarm":         {func(d *def) { d.Split.FalseAlarm = 0.5 - tiny }, ""},
		"less than no alarm":               {func(d *def) { d.Split.FalseAlarm = -tiny }, "split.falseAlarm"},
		"noise without an end":             {func(d *def) { d.Split.Noise = math.Inf(1) }, "split.noise"},

		"a margin that is only relative":        {margin(one, zero), ""},
		"one that is only absolute":             {margin(zero, new(share.Share(tiny))), ""},
		"none":                                  {margin(zero, zero), "metrics[0].margin"},
		"less than none relative":               {margin(new(share.Share(-tiny)), one), relative},
		"all of it absolute":                    {margin(one, one), absolute},
		"nearly all of it":                      {margin(one, new(share.Share(1-tiny))), ""},
		"less than none absolute":               {margin(one, new(share.Share(-tiny))), absolute},
		"a gauge with both":                     {gauge(one, one), ""},
		"a gauge with the largest":              {gauge(one, new(share.Share(1e12))), ""},
		"a gauge with a larger one":             {gauge(one, new(share.Share(1.1e12))), absolute},
		"a gauge with less than none":           {gauge(one, new(share.Share(-1))), absolute},
		"a gauge with only the relative one":    {gauge(one, zero), ""},
		"a gauge with only the absolute one":    {gauge(zero, one), relative},
		"slower than nothing":                   {metric(func(m *analysis.Metric) { m.Source = analysis.Slow{Histogram: "h"} }), "metrics[0].slowerThan"},
		"64 bounds":                             {bounds(upTo(64)...), ""},
		"65 bounds":                             {bounds(upTo(65)...), "metrics[0].bounds"},
		"no bounds":                             {bounds(), "metrics[0].bounds"},
		"a bound that is no number":             {bounds(math.NaN()), "metrics[0].bounds"},
		"a bound without end":                   {bounds(1, math.Inf(1)), "metrics[0].bounds"},
		"an objective":                          {objective(counted, 0.01, ""), ""},
		"an objective of all":                   {objective(counted, 1, ""), fixed},
		"an objective of less than none":        {objective(counted, -tiny, ""), fixed},
		"an objective of none":                  {objective(counted, 0, ""), fixed},
		"an objective that is a minimum":        {objective(counted, 0.01, judge.Decrease), "metrics[0].direction"},
		"an objective of what is good":          {objective(analysis.Ratio{Good: "g", Total: "t"}, 0.01, judge.Increase), "metrics[0].ratio.good"},
		"an earlier time that is now":           {metric(func(m *analysis.Metric) { m.Baseline = analysis.Offset{} }), "metrics[0].baseline.offset"},
		"as many values as there may be":        {metric(func(m *analysis.Metric) { m.By, m.Values = "route", analysis.MostValues }), ""},
		"one more of them":                      {metric(func(m *analysis.Metric) { m.By, m.Values = "route", analysis.MostValues+1 }), "metrics[0].values"},
		"by a selector that cannot be read":     {metric(func(m *analysis.Metric) { m.By, m.Source = "route", analysis.Ratio{Bad: "b{", Total: "t"} }), "metrics[0].ratio.bad"},
		"clusters":                              {clusters(func(*analysis.Metric) {}), ""},
		"clusters and replicas":                 {clusters(func(m *analysis.Metric) { m.Replicas = "pod" }), "metrics[0].clusters"},
		"clusters of a mean":                    {clusters(func(m *analysis.Metric) { m.Source = analysis.Mean{Sum: "s", Count: "n"} }), "metrics[0].clusters"},
		"a mean of a broken selector":           {metric(func(m *analysis.Metric) { m.Source = analysis.Mean{Sum: "s{", Count: "n"} }), "metrics[0].mean.sum"},
		"clusters of a gauge":                   {clusters(func(m *analysis.Metric) { m.Source = analysis.Gauge{Query: "g"} }), "metrics[0].clusters"},
		"clusters of an objective":              {clusters(func(m *analysis.Metric) { m.Baseline = analysis.Fixed{Rate: 0.01} }), "metrics[0].clusters"},
		"clusters of an earlier time":           {clusters(func(m *analysis.Metric) { m.Baseline = analysis.Offset{By: time.Hour} }), "metrics[0].clusters"},
		"the pods, each of them":                {metric(func(m *analysis.Metric) { m.Source = analysis.Gauge{Query: `g{pod=~"${pods}"}`} }), ""},
		"one instance, where there are several": {metric(func(m *analysis.Metric) { m.Source = analysis.Gauge{Query: `g{instance="${instances}"}`} }), "metrics[0].gauge.query"},
		"one pod, where there are several":      {metric(func(m *analysis.Metric) { m.Source = analysis.Gauge{Query: `g{pod="${pods}"}`} }), "metrics[0].gauge.query"},
	} {
		t.Run(name, func(t *testing.T) {
			d := def{Split: analysis.Split{Requests: "r"}, Metrics: []analysis.Metric{{Name: "m", Source: counted}}}
			c.change(&d)
			err := d.Validate()
			if c.path == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			var p *analysis.Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, c.path, p.Path, err)
		})
	}
}

func TestAWatchComparesWithWhatWasInServiceBefore(t *testing.T) {
	gauge := analysis.Gauge{Query: "g"}
	d := analysis.Definition{Metrics: []analysis.Metric{
		{Name: "unsaid", Source: gauge, Replicas: "pod"},
		{Name: "at the same time", Source: gauge, Baseline: analysis.Concurrent{}, Clusters: "user"},
		{Name: "fixed", Source: gauge, Baseline: analysis.Fixed{Rate: 0.01}},
		{Name: "of a week ago", Source: gauge, Baseline: analysis.Offset{By: 7 * 24 * time.Hour}, Replicas: "pod"},
	}}
	const day = 24 * time.Hour
	w := d.Earlier(day)
	require.True(t, w.Split.Off)
	require.Equal(t, []analysis.Metric{
		{Name: "unsaid", Source: gauge, Baseline: analysis.Offset{By: day}},
		{Name: "at the same time", Source: gauge, Baseline: analysis.Offset{By: day}},
		d.Metrics[2], d.Metrics[3],
	}, w.Metrics)
	require.Nil(t, d.Metrics[0].Baseline, "the definition itself stays what it is")
}

func TestAnEarlierTimeLiesBeforeTheReleaseByWholeMultiples(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		by, least, want time.Duration
	}{
		"long enough ago":      {day, time.Hour, day},
		"just long enough ago": {day, day, day},
		"a little too short":   {day, day + 1, 2 * day},
		"two days":             {day, 2 * day, 2 * day},
		"more than two days":   {day, 2*day + time.Hour, 3 * day},
		"no time at all":       {0, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := analysis.Definition{Metrics: []analysis.Metric{{Baseline: analysis.Offset{By: c.by}}, {Baseline: analysis.Concurrent{}}}}
			require.Equal(t, []analysis.Metric{{Baseline: analysis.Offset{By: c.want}}, {Baseline: analysis.Concurrent{}}}, d.Before(c.least).Metrics)
			require.Equal(t, analysis.Offset{By: c.by}, d.Metrics[0].Baseline)
		})
	}
}

func TestOnlyACountOfTwoArmsHasABudget(t *testing.T) {
	for name, c := range map[string]struct {
		m    analysis.Metric
		want bool
	}{
		"a ratio":         {analysis.Metric{Source: analysis.Ratio{Bad: "b", Total: "t"}}, true},
		"what is slow":    {analysis.Metric{Source: analysis.Slow{Histogram: "h"}}, true},
		"a goal":          {analysis.Metric{Source: analysis.Ratio{Bad: "b", Total: "t"}, Goal: true}, false},
		"an objective":    {analysis.Metric{Source: analysis.Ratio{Bad: "b", Total: "t"}, Baseline: analysis.Fixed{Rate: 0.01}}, false},
		"a gauge":         {analysis.Metric{Source: analysis.Gauge{Query: "g"}}, false},
		"a mean":          {analysis.Metric{Source: analysis.Mean{Sum: "s", Count: "n"}}, false},
		"a distribution":  {analysis.Metric{Source: analysis.Distribution{Histogram: "h"}}, false},
		"a fixed goal":    {analysis.Metric{Source: analysis.Ratio{Bad: "b", Total: "t"}, Goal: true, Baseline: analysis.Fixed{Rate: 0.01}}, false},
		"an earlier time": {analysis.Metric{Source: analysis.Ratio{Bad: "b", Total: "t"}, Baseline: analysis.Offset{By: time.Hour}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.m.Budget()
			require.Equal(t, c.want, c.m.Budgeted)
		})
	}
}

func TestASelectionSelectsTheSeriesThatPrometheusWould(t *testing.T) {
	labels := analysis.Labels{{Name: "code", Value: "500"}, {Name: "job", Value: "shop"}}
	for name, c := range map[string]struct {
		t    analysis.Template
		want bool
	}{
		"by its name":              {analysis.Template{Name: "m"}, true},
		"by a value":               {analysis.Template{Name: "m", Matchers: `code="500"`}, true},
		"by another value":         {analysis.Template{Name: "m", Matchers: `code="200"`}, false},
		"by an expression":         {analysis.Template{Name: "m", Matchers: `code=~"5.."`}, true},
		"by what it is not":        {analysis.Template{Name: "m", Matchers: `code!="500"`}, false},
		"by a label that it lacks": {analysis.Template{Name: "m", Matchers: `route=""`}, true},
		"by all of them":           {analysis.Template{Name: "m", Matchers: `code=~"5..",job="web"`}, false},
		"although it is counted":   {analysis.Template{Name: "m", Expression: "count(m)"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.t.Selection()
			require.NoError(t, err)
			require.Equal(t, "m", s.Metric())
			require.Equal(t, c.want, s.Matches(labels))
		})
	}
	require.False(t, analysis.Selection{}.Matches(labels), "nothing selects nothing")
	_, err := analysis.Template{Expression: "max(m)"}.Selection()
	require.EqualError(t, err, "max(m) is an expression of PromQL")
	for _, bad := range []analysis.Template{{Name: "m", Matchers: `code="`}, {Name: "m", Matchers: `code=~"("`}, {}} {
		_, err := bad.Selection()
		require.Error(t, err)
	}
}

package analysis

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// routeErrors is a custom metric of the service, also judged by route.
func routeErrors(values int) Metric {
	return Metric{Name: "errors", By: "route", Values: values,
		Source: Ratio{Bad: `requests_total{version="${version}",code="500"}`, Total: `requests_total{version="${version}"}`}}
}

func counts3(of, route, code, samples string) made {
	return series(`requests_total{version="`+of+`",route="`+route+`",code="`+code+`"}`, samples)
}

func ofPart(value string, x, n, y, m float64) judge.Part {
	return judge.Part{Value: value, Canary: judge.Arm{Bad: x, Total: n}, Baseline: judge.Arm{Bad: y, Total: m}}
}

func TestAMetricIsDividedByTheValuesOfItsLabel(t *testing.T) {
	w := world{scrapes: everyTen, series: []made{
		counts3("v2", "/", "200", "0:0 10:10 20:20"), counts3("v1", "/", "200", "0:0 10:90 20:180"),
		counts3("v2", "/cart", "200", "0:0 10:4 20:4"), counts3("v2", "/cart", "500", "0:0 10:1 20:3"), counts3("v1", "/cart", "200", "0:0 10:40 20:80"),
		counts3("v1", "/rare", "500", "0:0 10:1 20:1"), counts3("v2", "/new", "500", "0:0 10:0 20:2"),
	}}
	_, ls := looks(t, plan(t, routeErrors(3)), w, 10, 20)
	require.Equal(t, []judge.Part{ofPart("/", 0, 10, 0, 90), ofPart("/cart", 1, 5, 0, 40), ofPart("/rare", 0, 0, 1, 1)}, ls[0].Observations[0].Parts)
	require.Equal(t, []judge.Part{ofPart("/", 0, 10, 0, 90), ofPart("/cart", 2, 2, 0, 40), ofPart("", 2, 2, 0, 0)}, ls[1].Observations[0].Parts,
		"the places are taken when /new comes")
	for _, l := range ls {
		var sum judge.Part
		for _, p := range l.Observations[0].Parts {
			plus(&sum.Canary, p.Canary)
			plus(&sum.Baseline, p.Baseline)
		}
		require.Equal(t, l.Observations[0].Canary, sum.Canary)
		require.Equal(t, l.Observations[0].Baseline, sum.Baseline)
	}
}

func TestValuesWithTheMostExposureGetPlacesAndKeepThem(t *testing.T) {
	w := world{scrapes: everyTen, series: []made{
		counts3("v2", "/a", "200", "0:0 10:1 20:100"), counts3("v2", "/b", "200", "0:0 10:5 20:6"), counts3("v1", "/b", "200", "0:0 10:5 20:6"),
		counts3("v2", strings.Repeat("x", 300), "200", "0:0 10:900 20:1800"), series(`requests_total{version="v1",code="200"}`, "0:0 10:7 20:14"),
	}}
	c, ls := looks(t, plan(t, routeErrors(1)), w, 10)
	require.Equal(t, []judge.Part{ofPart("/b", 0, 5, 0, 5), ofPart("", 0, 901, 0, 7)}, ls[0].Observations[0].Parts,
		"no place for what is too long or has no value")
	b, err := json.Marshal(c)
	require.NoError(t, err)
	var stored Cursor
	require.NoError(t, json.Unmarshal(b, &stored))
	p := plan(t, routeErrors(1))
	_, l := p.Fold(stored, w.answer(t, p.Asks(stored, at(20))), FoldInput{Number: 2, At: at(20), Weight: 0.05})
	require.Equal(t, []judge.Part{ofPart("/b", 0, 1, 0, 1), ofPart("", 0, 999, 0, 7)}, l.Observations[0].Parts)
}

func TestSlowRequestsAreDividedByValueToo(t *testing.T) {
	bucket := func(of, route, le, samples string) made {
		return series(`d_bucket{version="`+of+`",route="`+route+`",le="`+le+`"}`, samples)
	}
	w := world{scrapes: everyTen, series: []made{
		bucket("v2", "/", "0.3", "0:0 10:8"), bucket("v2", "/", "+Inf", "0:0 10:10"), bucket("v1", "/", "0.3", "0:0 10:20"), bucket("v1", "/", "+Inf", "0:0 10:20"),
		bucket("v2", "/cart", "0.3", "0:0 10:0"), bucket("v2", "/cart", "+Inf", "0:0 10:3"),
	}}
	m := Metric{Name: "slow", By: "route", Source: Slow{Histogram: `d_bucket{version="${version}"}`, SlowerThan: 300 * time.Millisecond}}
	_, ls := looks(t, plan(t, m), w, 10)
	require.Equal(t, []judge.Part{ofPart("/", 2, 10, 0, 20), ofPart("/cart", 3, 3, 0, 0)}, ls[0].Observations[0].Parts)
}

func TestEventsWithTheirOwnCounterAreDividedByValueToo(t *testing.T) {
	m := Metric{Name: "errors", By: "route", Source: Ratio{Bad: `failed_total{version="${version}"}`, Total: `requests_total{version="${version}"}`}}
	w := world{scrapes: everyTen, series: []made{
		counts3("v2", "/", "200", "0:0 10:10"), counts3("v1", "/", "200", "0:0 10:20"),
		series(`failed_total{version="v2",route="/"}`, "0:0 10:3"), series(`failed_total{version="v1",route="/"}`, "0:0 10:1"),
	}}
	_, ls := looks(t, plan(t, m), w, 10)
	require.Equal(t, []judge.Part{ofPart("/", 3, 10, 1, 20)}, ls[0].Observations[0].Parts)
}

func TestAMetricWithoutALabelIsNotDividedAndItsCursorIsAsBefore(t *testing.T) {
	m := routeErrors(0)
	m.By = ""
	c, ls := looks(t, plan(t, m), world{scrapes: everyTen, series: []made{counts3("v2", "/", "200", "0:0 10:10"), counts3("v1", "/", "200", "0:0 10:10")}}, 10)
	require.Nil(t, ls[0].Observations[0].Parts)
	b, err := json.Marshal(c)
	require.NoError(t, err)
	require.NotContains(t, string(b), "values")
}

func TestAHistoryHasTheValuesOfTheLabel(t *testing.T) {
	m := podErrors()
	m.By = "route"
	h := remembered(t, world{series: []made{
		pod("a", `,code="200",route="/"`, begin, 0, 20), pod("a", `,code="500",route="/cart"`, begin, 0, 2), pod("b", `,code="200",route="/cart"`, -3600, 0, 3),
	}}, m)["errors"]
	require.Len(t, h.Parts, 2)
	requireDivided(t, h.Baseline, h.Parts)
	bad, _ := sumOf(h.Baseline)
	require.NotZero(t, bad)
}

func TestALabelThatCannotDivideAMetricIsRefused(t *testing.T) {
	own := Ratio{Bad: `b{version="${version}",code="500"}`, Total: `b{version="${version}"}`}
	for _, c := range []struct {
		name string
		m    Metric
		want string
	}{
		{"a route", Metric{Source: own, By: "route"}, ""},
		{"the label that makes a request bad", Metric{Source: own, By: "code"}, "is what makes a request count as an event"},
		{"no label", Metric{Source: own, By: "a route"}, "not the name of a label"},
		{"a histogram's buckets", Metric{Source: TraefikLatency(time.Second), By: "le"}, "histogram's buckets"},
		{"a gauge", Metric{Source: Gauge{Query: `g{version="${version}"}`}, By: "route"}, "is for ratio and slow"},
		{"a fixed rate", Metric{Source: own, Baseline: Fixed{Rate: 0.01}, By: "route"}, "needs a baseline that is divided"},
		{"groups of users", Metric{Source: own, Clusters: "group", By: "route"}, "either clusters"},
		{"too many values", Metric{Source: own, By: "route", Values: 101}, "between 1 and 100"},
		{"values without a label", Metric{Source: own, Values: 10}, "there is no by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.Name = "m"
			err := Definition{Split: Split{Off: true}, Metrics: []Metric{c.m}}.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

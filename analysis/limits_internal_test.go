package analysis

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

func TestTheErrorOfASelectorHasThePlace(t *testing.T) {
	for text, says := range map[string]string{
		`m + n`:            `"+" at character 3: a selector is a name and matchers in braces, nothing else`,
		`m{a="1"}[5m]`:     `"[" at character 9: a selector ends with its braces; Serin adds the range itself`,
		`m{a=1}`:           `"a" at character 3: expected a matcher like label="value"`,
		`m{a="1","b"="2"}`: `"\"b\"" at character 9: expected a matcher like label="value"`,
		`m{a="1" b="2"}`:   `"b" at character 9: expected a comma or the closing brace`,
		`m{a="1`:           `at character 5: a string does not end`,
		`m{a`:              `"a" at character 3: expected a matcher like label="value"`,
		`m{a=`:             `"a" at character 3: expected a matcher like label="value"`,
		`m{a="1"`:          `the closing brace is missing`,
		"# only a comment": `a selector begins with the name of a metric`,
		"# a comment\n0m":  `a selector begins with the name of a metric`,
		`9m`:               `a selector begins with the name of a metric`,
		`m{0a="1"}`:        `"0a" at character 3: expected a matcher like label="value"`,
		`m{9a="1"}`:        `"9a" at character 3: expected a matcher like label="value"`,
	} {
		_, err := parseSelector(text)
		require.ErrorContains(t, err, says, text)
		require.True(t, strings.HasPrefix(err.Error(), says), err)
	}
	for _, text := range []string{"# a comment\nm", "#\nm", `Az09_:{Az09_="1"}`, `zA90{zA90="1",}`, `m{a="é"}`, `m{a='\u00e9'}`} {
		_, err := parseSelector(text)
		require.NoError(t, err, text)
	}
	for text, says := range map[string]string{
		`max(m{a="1"})) / 2`: `")" at character 14 closes nothing`,
		`m + ${x}`:           "at character 5: ${…} may stand inside the value of a label matcher and nowhere else",
		`m[5m] > "${x}"`:     "at character 9: ${…} may stand inside the value of a label matcher and nowhere else",
		`f("a", "${x}")`:     "at character 8: ${…} may stand inside the value of a label matcher and nowhere else",
	} {
		_, err := names("x", "1").substituteExpression(text)
		require.EqualError(t, err, says, text)
	}
}

func TestTheNamesOfVariables(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "A-z_09": true, "-": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a:b": false, "a.b": false, "a b": false, "é": false,
	} {
		require.Equal(t, want, isVariable(name), name)
	}
	n := names("x", "1")
	n.Vars["none"] = nil
	for name, says := range map[string]string{"none": "${none} has no value", "y": "${y} has no value", "a.b": "${a.b} is not a variable"} {
		_, err := n.substituteExpression(`m{a="${` + name + `}"}`)
		require.ErrorContains(t, err, says)
	}
}

func TestMatchersOfEqualLabels(t *testing.T) {
	got, err := EqualMatchers(map[string]string{"b": `"`, "a": "1"})
	require.NoError(t, err)
	require.Equal(t, `a="1",b="\""`, got)
	for _, bad := range []string{"__name__", "a.b", "", "a:b"} {
		_, err := EqualMatchers(map[string]string{bad: "1"})
		require.Error(t, err, bad)
	}
}

// The shares are those of Prometheus's histogram_fraction, worked out by hand: promql/quantile.go of 3.0.
func TestTheShareOfABucketUpToABound(t *testing.T) {
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		bucket Bucket
		bound  float64
		want   float64
	}{
		"a positive bucket is divided by its logarithm":     {Bucket{1, 4, 100}, 2, 50},
		"a negative one as its mirror image":                {Bucket{-4, -1, 100}, -2, 50},
		"also away from the middle":                         {Bucket{-8, -1, 100}, -2, 66},
		"one that touches zero is divided evenly":           {Bucket{0, 4, 100}, 1, 25},
		"also from below":                                   {Bucket{-4, 0, 100}, -1, 75},
		"one that spans zero as well":                       {Bucket{-1, 1, 100}, 0.5, 75},
		"without an upper end nothing is below the bound":   {Bucket{1, inf, 100}, 1e9, 0},
		"without a lower end everything is below the bound": {Bucket{-inf, 1, 100}, -1e9, 100},
		"a bound at its upper end takes all of it":          {Bucket{1, 4, 100}, 4, 100},
		"a bound at its lower end takes nothing":            {Bucket{1, 4, 100}, 1, 0},
		"nor does one below a bucket without a lower end":   {Bucket{-inf, -1, 100}, -inf, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := Histogram{Count: c.bucket.Count, Buckets: []Bucket{c.bucket}}
			require.Equal(t, c.want, h.AtMost(c.bound))
		})
	}
	h := Histogram{Count: 30, Buckets: []Bucket{{0, 1, 10}, {1, 4, 10}, {4, 8, 10}}}
	require.Equal(t, 15.0, h.AtMost(2), "those of the buckets below, and a part of its own")
}

func TestABoundIsMatchedInEveryNotation(t *testing.T) {
	for bound, texts := range map[float64][]string{
		0.3: {"0.3", "0.30"}, 1: {"1", "1.0", "1.", "1.00"}, 1e-05: {"1e-05", "0.00001", "0.000010"}, 1e+06: {"1e+06", "1000000", "1000000.0"},
		math.Pi: {"3.141592653589793"},
	} {
		re, err := compile(boundPattern(bound))
		require.NoError(t, err)
		for _, text := range texts {
			require.True(t, re.MatchString(text), "%v: %s", bound, text)
		}
		for _, text := range []string{"2", "0.31", "13", "1e05", "0.3.0", "10000000"} {
			require.False(t, re.MatchString(text), "%v: %s", bound, text)
		}
	}
}

func TestWholeNumbersTakeFewBytes(t *testing.T) {
	const most = 1<<53 - 1
	for v, size := range map[float64]int{
		0: 1, 63: 1, 64: 2, 1e6: 3, most: 8, most + 1: 9, -1: 9, 0.5: 9, math.Inf(1): 9, 1e300: 9, math.Copysign(0, -1): 1,
	} {
		if v == 0 {
			require.Len(t, appendValue(nil, math.Copysign(0, -1)), 9, "the sign of nothing is kept")
			continue
		}
		require.Len(t, appendValue(nil, v), size, v)
	}
}

func TestATruncatedCursorIsAnError(t *testing.T) {
	for name, r := range map[string]*reader{"nothing is asked for": {b: []byte{1}}, "less than nothing": {b: []byte{1}}, "more than there is": {b: []byte{1}}, "after an error": {b: []byte{1, 2, 3}, broken: true}} {
		n := map[string]int{"less than nothing": -1, "more than there is": 2, "after an error": 1}[name]
		require.Equal(t, make([]byte, 8), r.take(n), name)
		require.True(t, r.broken, name)
		require.Empty(t, r.b, name)
	}
	r := &reader{b: []byte{1, 2}}
	require.Equal(t, []byte{1, 2}, r.take(2))
	require.False(t, r.broken)
	require.Zero(t, (&reader{b: append([]byte{2}, make([]byte, 17)...)}).count(), "two entries take eighteen bytes")
	require.Equal(t, 2, (&reader{b: append([]byte{2}, make([]byte, 18)...)}).count())
}

func TestWhichObservationsHaveBothArms(t *testing.T) {
	missing := judge.Arm{Missing: true}
	for name, c := range map[string]struct {
		o    judge.Observation
		want bool
	}{
		"both":                          {judge.Observation{}, true},
		"while it warms up":             {judge.Observation{Absent: judge.WarmingUp}, true},
		"without data":                  {judge.Observation{Absent: judge.NoData}, false},
		"without the canary's":          {judge.Observation{Canary: missing}, false},
		"without the baseline's":        {judge.Observation{Baseline: missing}, false},
		"without, while it warms up":    {judge.Observation{Absent: judge.WarmingUp, Baseline: missing}, false},
		"without either's, and no data": {judge.Observation{Absent: judge.NoData, Canary: missing, Baseline: missing}, false},
	} {
		require.Equal(t, c.want, bothArms(&c.o), name)
	}
	in := input{template: Template{Name: "m"}, value: "a"}
	require.True(t, in.asksAs(input{template: Template{Name: "m"}, value: "a"}))
	require.False(t, in.asksAs(input{template: Template{Name: "n"}, value: "a"}))
	require.False(t, in.asksAs(input{template: Template{Name: "m"}, value: "b"}))
}

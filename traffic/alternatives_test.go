package traffic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

func query(name, value string) traffic.Matcher {
	return traffic.Matcher{Query: &traffic.Query{Name: name, Value: value}}
}

func anyOf(parts ...traffic.Matcher) traffic.Matcher { return traffic.Matcher{Any: parts} }
func allOf(parts ...traffic.Matcher) traffic.Matcher { return traffic.Matcher{All: parts} }

// headers are n conditions on a header.
func headers(name string, n int) (out []traffic.Matcher) {
	for i := range n {
		out = append(out, header(name, fmt.Sprint(i)))
	}
	return out
}

func TestAMatcherBecomesAlternatives(t *testing.T) {
	a, b, c := header("A", "1"), header("B", "2"), query("c", "3")
	one := func(name, value string) traffic.Condition { return traffic.Condition{Name: name, Value: value} }
	inQuery := func(name, value string) traffic.Condition {
		return traffic.Condition{Query: true, Name: name, Value: value}
	}
	for name, x := range map[string]struct {
		m    traffic.Matcher
		want [][]traffic.Condition
	}{
		"a header":                   {a, [][]traffic.Condition{{one("A", "1")}}},
		"a header by its expression": {traffic.Matcher{Header: &traffic.Header{Name: "A", Regexp: "^x"}}, [][]traffic.Condition{{{Name: "A", Regexp: true, Value: ".*(?:^x).*"}}}},
		"a cookie among others":      {cookie("a.b", "1"), [][]traffic.Condition{{{Name: "Cookie", Regexp: true, Value: `.*(?:(^|; *)a\.b=1(;|$)).*`}}}},
		"one of several":             {anyOf(a, c), [][]traffic.Condition{{one("A", "1")}, {inQuery("c", "3")}}},
		"all of several":             {allOf(a, b), [][]traffic.Condition{{one("A", "1"), one("B", "2")}}},
		"each of one with each of another": {
			allOf(anyOf(a, b), c), [][]traffic.Condition{{one("A", "1"), inQuery("c", "3")}, {one("B", "2"), inQuery("c", "3")}},
		},
		"a header and a parameter of one name": {allOf(header("c", "1"), c), [][]traffic.Condition{{one("c", "1"), inQuery("c", "3")}}},
		"parameters are told apart by case":    {allOf(c, query("C", "4")), [][]traffic.Condition{{inQuery("c", "3"), inQuery("C", "4")}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := x.m.Alternatives(false)
			require.NoError(t, err)
			require.Equal(t, x.want, got)
		})
	}
}

func TestAMatcherMayHave64Alternatives(t *testing.T) {
	for name, x := range map[string]struct {
		m  traffic.Matcher
		ok bool
	}{
		"64, one after the other": {anyOf(headers("A", 64)...), true},
		"one more":                {anyOf(headers("A", 65)...), false},
		"64, of two times 8":      {allOf(anyOf(headers("A", 8)...), anyOf(headers("B", 8)...)), true},
		"72, of 8 times 9":        {allOf(anyOf(headers("A", 8)...), anyOf(headers("B", 9)...)), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := x.m.Alternatives(false)
			if x.ok {
				require.NoError(t, err)
				require.Len(t, got, 64)
				return
			}
			require.EqualError(t, err, "the matcher has more than 64 alternatives, which is the most that a rule of Gateway API takes")
		})
	}
}

func TestMatchersBeyondGatewayAPIAreRefused(t *testing.T) {
	a := header("A", "1")
	for says, m := range map[string]traffic.Matcher{
		"clientIP: a route of Gateway API cannot match the client's address":          {ClientIP: "10.0.0.0/8"},
		"not: a route of Gateway API cannot negate a match":                           {Not: &a},
		"two conditions on header A: a route of Gateway API takes one":                allOf(header("a", "1"), header("A", "2")),
		"two conditions on query parameter c: a route of Gateway API takes one":       allOf(query("c", "1"), query("c", "2")),
		"two conditions on header Cookie: a route of Gateway API takes one":           allOf(cookie("a", "1"), cookie("b", "2")),
		"clientIP: a route of Gateway API cannot match the client's address (in any)": anyOf(a, traffic.Matcher{ClientIP: "10.0.0.1"}),
		"clientIP: a route of Gateway API cannot match the client's address (in all)": allOf(a, traffic.Matcher{ClientIP: "10.0.0.1"}),
	} {
		says, _, _ = strings.Cut(says, " (in")
		_, err := m.Alternatives(false)
		require.EqualError(t, err, says)
	}
	_, err := traffic.Matcher{}.Alternatives(false)
	require.Error(t, err, "an invalid matcher has no alternatives")
	_, err = anyOf(a, query("c", "1")).Alternatives(true)
	require.EqualError(t, err, "query: a GRPCRoute cannot match query parameters")
	_, err = anyOf(a, header("B", "1")).Alternatives(true)
	require.NoError(t, err)
}

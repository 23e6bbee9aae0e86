package traffic_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

func header(name, value string) traffic.Matcher {
	return traffic.Matcher{Header: &traffic.Header{Name: name, Value: value}}
}

func cookie(name, value string) traffic.Matcher {
	return traffic.Matcher{Cookie: &traffic.Cookie{Name: name, Value: value}}
}

// Every kind of matcher, and how Traefik writes it.
func TestTheTextOfAMatcher(t *testing.T) {
	not := func(m traffic.Matcher) traffic.Matcher { return traffic.Matcher{Not: &m} }
	a, b := header("A", "1"), header("B", "2")
	for name, c := range map[string]struct {
		m    traffic.Matcher
		want string
	}{
		"a header by value":                       {header("X-User-Group", "beta"), "Header(`X-User-Group`, `beta`)"},
		"a header by regexp":                      {traffic.Matcher{Header: &traffic.Header{Name: "X-Id", Regexp: `^[0-9]+7$`}}, "HeaderRegexp(`X-Id`, `^[0-9]+7$`)"},
		"a cookie stands among others":            {cookie("beta", "yes"), "HeaderRegexp(`Cookie`, `(^|; *)beta=yes(;|$)`)"},
		"a cookie is not a regular expression":    {cookie("be.ta", "a+b"), "HeaderRegexp(`Cookie`, `(^|; *)be\\.ta=a\\+b(;|$)`)"},
		"a query parameter":                       {traffic.Matcher{Query: &traffic.Query{Name: "v", Value: "2"}}, "Query(`v`, `2`)"},
		"addresses are written in canonical form": {traffic.Matcher{ClientIP: "10.0.0.0/8"}, "ClientIP(`10.0.0.0/8`)"},
		"one address":                             {traffic.Matcher{ClientIP: "2001:DB8::0:1"}, "ClientIP(`2001:db8::1`)"},
		"all":                                     {traffic.Matcher{All: []traffic.Matcher{a, b}}, "Header(`A`, `1`) && Header(`B`, `2`)"},
		"any of all keeps its parentheses":        {traffic.Matcher{Any: []traffic.Matcher{{All: []traffic.Matcher{a, b}}, b}}, "(Header(`A`, `1`) && Header(`B`, `2`)) || Header(`B`, `2`)"},
		"not":                                     {not(a), "!Header(`A`, `1`)"},
		"not any":                                 {not(traffic.Matcher{Any: []traffic.Matcher{a, b}}), "!(Header(`A`, `1`) || Header(`B`, `2`))"},
		"not not":                                 {not(not(a)), "!!Header(`A`, `1`)"},
		"a value with a backquote stands in quotes": {header("A", "a`b\"c\\"), `Header(` + "`A`" + `, "a` + "`" + `b\"c\\")`},
		"a value beyond ASCII":                      {header("A", "käse"), "Header(`A`, `käse`)"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.m.Text()
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestProblemsNameThePlaceInTheMatcher(t *testing.T) {
	deep, list := header("A", "1"), header("A", "1")
	for range 20 {
		inner := deep
		deep, list = traffic.Matcher{Not: &inner}, traffic.Matcher{All: []traffic.Matcher{list}}
	}
	for name, c := range map[string]struct {
		m    traffic.Matcher
		want []string
	}{
		"nothing is set":    {traffic.Matcher{}, []string{"a matcher has exactly one of header, cookie, query, clientIP, all, any, not; here are 0"}},
		"two are set":       {traffic.Matcher{ClientIP: "::1", Cookie: &traffic.Cookie{Name: "a", Value: "b"}}, []string{"a matcher has exactly one of header, cookie, query, clientIP, all, any, not; here are 2"}},
		"a header's name":   {header("X Y", "1"), []string{`header.name: ' ' is not allowed in a name`}},
		"the host":          {header("host", "1"), []string{"header.name: gateways do not treat the host as a header: put it into the route's rule"}},
		"value and regexp":  {traffic.Matcher{Header: &traffic.Header{Name: "A", Value: "1", Regexp: "1"}}, []string{"header: value and regexp exclude each other"}},
		"no value":          {header("A", ""), []string{"header.value: is missing"}},
		"spaces around":     {header("A", " 1"), []string{"header.value: spaces around a header's value never arrive, so it would match nobody"}},
		"a broken regexp":   {traffic.Matcher{Header: &traffic.Header{Name: "A", Regexp: "("}}, []string{"header.regexp: error parsing regexp: missing closing ): `(`"}},
		"a line feed":       {header("A", "1\n2"), []string{"header.value: has control characters"}},
		"not UTF-8":         {header("A", "\xff"), []string{"header.value: is not UTF-8"}},
		"a cookie's end":    {cookie("a", "b;c"), []string{"cookie.value: a semicolon ends a cookie, so it would match nobody"}},
		"no address":        {traffic.Matcher{ClientIP: "10.0.0.0/33"}, []string{`clientIP: "10.0.0.0/33" is neither an address nor a CIDR such as 10.0.0.0/8`}},
		"a zone":            {traffic.Matcher{ClientIP: "fe80::1%`)||"}, []string{"clientIP: \"fe80::1%`)||\" is neither an address nor a CIDR such as 10.0.0.0/8"}},
		"too deep":          {deep, []string{strings.TrimSuffix(strings.Repeat("not.", 16), ".") + ": matchers are nested more than 16 deep"}},
		"too deep in lists": {list, []string{strings.TrimSuffix(strings.Repeat("all[0].", 16), ".") + ": matchers are nested more than 16 deep"}},
		"all that is wrong, each with its place": {
			traffic.Matcher{All: []traffic.Matcher{header("A", "1"), {Any: []traffic.Matcher{cookie("", ""), {}}}}},
			[]string{"all[1].any[0].cookie.name: is missing", "all[1].any[0].cookie.value: is missing",
				"all[1].any[1]: a matcher has exactly one of header, cookie, query, clientIP, all, any, not; here are 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range c.m.Problems() {
				got = append(got, p.String())
			}
			require.Equal(t, c.want, got)
			rule, err := c.m.Text()
			require.Error(t, err)
			require.Empty(t, rule)
		})
	}
}

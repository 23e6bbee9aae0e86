package traffic

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Condition is a condition on a header of a request or on a query parameter.
type Condition struct {
	// Query means that Name is that of a query parameter and not of a header.
	Query bool
	Name  string
	Value string
	// Regexp means that Value is a regular expression (RE2) that has to match the whole value.
	Regexp bool
}

// Field names what the condition is on, such as header X-Group.
func (c Condition) Field() string {
	if c.Query {
		return "query parameter " + c.Name
	}
	return "header " + c.Name
}

// maxAlternatives is the most that Gateway API takes: a rule has at most 64 matches.
const maxAlternatives = 64

// Alternatives converts the matcher for gateways without operators, such as Gateway API, to a list of alternatives: a
// request has to meet all conditions of one of them. With grpc, requests have no query. The error names the first thing
// that cannot be expressed that way.
func (m Matcher) Alternatives(grpc bool) ([][]Condition, error) {
	if _, err := m.Text(); err != nil {
		return nil, err
	}
	all, err := m.alternatives()
	if err != nil {
		return nil, err
	}
	if grpc && slices.ContainsFunc(all, func(each []Condition) bool {
		return slices.ContainsFunc(each, func(c Condition) bool { return c.Query })
	}) {
		return nil, errors.New("query: a GRPCRoute cannot match query parameters")
	}
	return all, nil
}

func (m Matcher) alternatives() ([][]Condition, error) {
	switch {
	case m.Header != nil && m.Header.Regexp != "":
		return [][]Condition{{{Name: m.Header.Name, Regexp: true, Value: somewhere(m.Header.Regexp)}}}, nil
	case m.Header != nil:
		return [][]Condition{{{Name: m.Header.Name, Value: m.Header.Value}}}, nil
	case m.Cookie != nil:
		return [][]Condition{{{Name: "Cookie", Regexp: true, Value: somewhere(m.Cookie.pattern())}}}, nil
	case m.Query != nil:
		return [][]Condition{{{Query: true, Name: m.Query.Name, Value: m.Query.Value}}}, nil
	case m.ClientIP != "":
		return nil, errors.New("clientIP: a route of Gateway API cannot match the client's address")
	case m.Not != nil:
		return nil, errors.New("not: a route of Gateway API cannot negate a match")
	case len(m.Any) > 0:
		return anyOf(m.Any)
	}
	return allOf(m.All)
}

func anyOf(parts []Matcher) ([][]Condition, error) {
	var out [][]Condition
	for _, part := range parts {
		some, err := part.alternatives()
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, tooMany(out)
}

func allOf(parts []Matcher) ([][]Condition, error) {
	out := [][]Condition{nil}
	for _, part := range parts {
		some, err := part.alternatives()
		if err != nil {
			return nil, err
		}
		var both [][]Condition
		for _, a := range out {
			for _, b := range some {
				joined, err := joinConditions(a, b)
				if err != nil {
					return nil, err
				}
				both = append(both, joined)
			}
		}
		if err := tooMany(both); err != nil {
			return nil, err
		}
		out = both
	}
	return out, nil
}

func tooMany(all [][]Condition) error {
	if len(all) > maxAlternatives {
		return fmt.Errorf("the matcher has more than %d alternatives, which is the most that a rule of Gateway API takes", maxAlternatives)
	}
	return nil
}

// somewhere returns an expression that matches a whole value if re matches somewhere in it.
func somewhere(re string) string { return ".*(?:" + re + ").*" }

// joinConditions refuses two conditions on one header: a match of Gateway API names each once.
func joinConditions(a, b []Condition) ([]Condition, error) {
	out := slices.Clone(a)
	for _, c := range b {
		if slices.ContainsFunc(out, c.SameField) {
			return nil, fmt.Errorf("two conditions on %s: a route of Gateway API takes one", c.Field())
		}
		out = append(out, c)
	}
	return out, nil
}

// SameField reports whether another condition is on the same header or query parameter.
func (c Condition) SameField(other Condition) bool {
	return c.Query == other.Query && (c.Name == other.Name || !c.Query && strings.EqualFold(c.Name, other.Name))
}

// pattern is a regular expression that finds the cookie in the Cookie header.
func (c Cookie) pattern() string {
	return `(^|; *)` + regexp.QuoteMeta(c.Name) + "=" + regexp.QuoteMeta(c.Value) + `(;|$)`
}

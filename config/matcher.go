package config

import (
	"strings"

	"github.com/serindev/serin/traffic"
)

// MatcherSpec picks users by exactly one of its fields.
type MatcherSpec struct {
	// Header of the request.
	Header *HeaderSpec `json:"header,omitempty"`
	// Cookie of the request.
	Cookie *PairSpec `json:"cookie,omitempty"`
	// Query parameter of the request.
	Query *PairSpec `json:"query,omitempty"`
	// ClientIP is an address or a network such as 10.0.0.0/8.
	ClientIP string `json:"clientIP,omitempty"`
	// All of these match.
	All []MatcherSpec `json:"all,omitempty" jsonschema:"minItems=1"`
	// Any of these matches.
	Any []MatcherSpec `json:"any,omitempty" jsonschema:"minItems=1"`
	// Not: it does not match.
	Not *MatcherSpec `json:"not,omitempty"`
}

// HeaderSpec matches a header by its value or by a regular expression.
type HeaderSpec struct {
	// Name of the header.
	Name string `json:"name" jsonschema:"minLength=1"`
	// Value has to match as a whole.
	Value string `json:"value,omitempty"`
	// Regexp that matches somewhere in the value.
	Regexp string `json:"regexp,omitempty"`
}

// PairSpec matches a cookie or a query parameter by its value.
type PairSpec struct {
	// Name of the cookie or parameter.
	Name string `json:"name" jsonschema:"minLength=1"`
	// Value has to match as a whole.
	Value string `json:"value" jsonschema:"minLength=1"`
}

// cohort checks a matcher with package traffic's rules and reports each problem at its field.
func (c *checker) cohort(at place, m MatcherSpec) {
	for _, p := range m.toTraffic().Problems() {
		where := at
		for _, field := range strings.FieldsFunc(p.Path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
			where = where.in(field)
		}
		c.fail(where, "%s", p.Text)
	}
}

func (m MatcherSpec) toTraffic() traffic.Matcher {
	out := traffic.Matcher{ClientIP: m.ClientIP}
	if h := m.Header; h != nil {
		out.Header = &traffic.Header{Name: h.Name, Value: h.Value, Regexp: h.Regexp}
	}
	if p := m.Cookie; p != nil {
		out.Cookie = &traffic.Cookie{Name: p.Name, Value: p.Value}
	}
	if p := m.Query; p != nil {
		out.Query = &traffic.Query{Name: p.Name, Value: p.Value}
	}
	for i := range m.All {
		out.All = append(out.All, m.All[i].toTraffic())
	}
	for i := range m.Any {
		out.Any = append(out.Any, m.Any[i].toTraffic())
	}
	if m.Not != nil {
		not := m.Not.toTraffic()
		out.Not = &not
	}
	return out
}

package traefikapi

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/traefik/traefik/v3/pkg/ip"
	"github.com/traefik/traefik/v3/pkg/rules"
)

// matcher describes one of Traefik's matchers: how many values it takes, and what they have to be.
type matcher struct {
	values []int
	check  func(values []string) error
}

// matchers are those of Traefik 3.6 (pkg/muxer/http/matcher.go). That package builds only with Traefik's replacement of
// gorilla/mux, so its checks are reimplemented here. A test compares them with the real Traefik.
var matchers = map[string]matcher{
	"ClientIP":     {[]int{1}, func(v []string) error { _, err := ip.NewChecker(v); return err }},
	"Method":       {[]int{1}, nil},
	"Host":         {[]int{1}, ascii},
	"HostRegexp":   {[]int{1}, func(v []string) error { return errors.Join(ascii(v), lastRegexp(v)) }},
	"Path":         {[]int{1}, slash},
	"PathRegexp":   {[]int{1}, lastRegexp},
	"PathPrefix":   {[]int{1}, slash},
	"Header":       {[]int{2}, nil},
	"HeaderRegexp": {[]int{2}, lastRegexp},
	"Query":        {[]int{1, 2}, nil},
	"QueryRegexp": {[]int{1, 2}, func(v []string) error {
		if len(v) == 1 {
			return nil
		}
		return lastRegexp(v)
	}},
}

func ascii(values []string) error {
	if strings.ContainsFunc(values[0], func(r rune) bool { return r > unicode.MaxASCII }) {
		return fmt.Errorf("%q has other characters than ASCII", values[0])
	}
	return nil
}

func slash(values []string) error {
	if !strings.HasPrefix(values[0], "/") {
		return fmt.Errorf("path %q does not start with a '/'", values[0])
	}
	return nil
}

func lastRegexp(values []string) error {
	_, err := regexp.Compile(values[len(values)-1])
	return err
}

// ParseRule parses a rule as Traefik does, and returns an error for a rule that Traefik would not accept.
func ParseRule(rule string) error {
	tree, err := RuleTree(rule)
	if err != nil {
		return fmt.Errorf("rule %q: %w", rule, err)
	}
	if err := checkTree(tree); err != nil {
		return fmt.Errorf("rule %q: %w", rule, err)
	}
	return nil
}

// RuleTree returns the rule as Traefik's parser reads it.
func RuleTree(rule string) (*rules.Tree, error) {
	parser, err := rules.NewParser(slices.Sorted(maps.Keys(matchers)))
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(rule)
	if err != nil {
		return nil, err
	}
	build, ok := parsed.(rules.TreeBuilder)
	if !ok {
		return nil, errors.New("it is not made of matchers")
	}
	return build(), nil
}

func checkTree(t *rules.Tree) error {
	if t.RuleLeft != nil || t.RuleRight != nil {
		return errors.Join(checkTree(t.RuleLeft), checkTree(t.RuleRight))
	}
	if err := rules.CheckRule(t); err != nil {
		return err
	}
	m := matchers[t.Matcher]
	if !slices.Contains(m.values, len(t.Value)) {
		return fmt.Errorf("%s has %d values, not %v", t.Matcher, len(t.Value), m.values)
	}
	if m.check == nil {
		return nil
	}
	if err := m.check(t.Value); err != nil {
		return fmt.Errorf("%s: %w", t.Matcher, err)
	}
	return nil
}

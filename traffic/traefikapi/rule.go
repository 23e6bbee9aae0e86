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

	"github.com/serindev/serin/traffic/traefik"
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

// tcpMatchers are those of the rules of TCP routes (pkg/muxer/tcp/matcher.go).
var tcpMatchers = map[string]matcher{
	"ALPN":          {[]int{1}, nil},
	"ClientIP":      {[]int{1}, func(v []string) error { _, err := ip.NewChecker(v); return err }},
	"HostSNI":       {[]int{1}, serverName},
	"HostSNIRegexp": {[]int{1}, func(v []string) error { return errors.Join(ascii(v), lastRegexp(v)) }},
}

var serverNameForm = regexp.MustCompile(`^[[:word:]\.\-\:]+$`)

func serverName(values []string) error {
	switch name := values[0]; {
	case name == "*" || serverNameForm.MatchString(name):
		return nil
	case strings.Contains(name, "*"):
		return fmt.Errorf("%q: it takes no * but alone. Write %s", name, called("HostSNIRegexp", []string{traefik.HostPattern(name)}))
	default:
		return fmt.Errorf("%q is not a host: * means any", name)
	}
}

// ParseRule parses a rule as Traefik does, and returns an error for a rule that Traefik would not accept.
func ParseRule(rule string) error { return parseRule(rule, matchers) }

// ParseRuleTCP is [ParseRule] for the rules of TCP routes.
func ParseRuleTCP(rule string) error { return parseRule(rule, tcpMatchers) }

// CheckRuleTCP is [ParseRuleTCP] for a route with or without TLS. Without it no connection names a host: Traefik refuses a rule
// that begins with one, and no connection matches a regular expression of one.
func CheckRuleTCP(rule string, tls bool) error {
	if err := ParseRuleTCP(rule); err != nil || tls {
		if sni := strings.ReplaceAll(rule, "Host(", "HostSNI("); err != nil && sni != rule && ParseRuleTCP(sni) == nil {
			return fmt.Errorf("rule %q: in a TCP route write %s", rule, sni)
		}
		return err
	}
	tree, err := ruleTree(rule, tcpMatchers)
	if err != nil {
		return err
	}
	hosts := tree.ParseMatchers([]string{"HostSNI"})
	if len(hosts) > 0 && hosts[0] != "*" || needsName(tree) {
		return fmt.Errorf("rule %q: only a connection with TLS names a host: add tls: {} to the route, or write HostSNI(`*`)", rule)
	}
	return nil
}

// needsName reports whether a rule for connections matches none that does not name a host.
func needsName(t *rules.Tree) bool {
	switch {
	case t.RuleLeft != nil && t.RuleRight != nil && t.Matcher == "or":
		return needsName(t.RuleLeft) && needsName(t.RuleRight)
	case t.RuleLeft != nil && t.RuleRight != nil:
		return needsName(t.RuleLeft) || needsName(t.RuleRight)
	case t.Matcher != "HostSNIRegexp" || t.Not:
		return false
	}
	ok, err := regexp.MatchString(t.Value[0], "")
	return err == nil && !ok
}

func parseRule(rule string, among map[string]matcher) error {
	tree, err := ruleTree(rule, among)
	if err == nil {
		err = checkTree(tree, among)
	}
	if err != nil {
		return fmt.Errorf("rule %q: %w", rule, err)
	}
	return nil
}

// RuleTree returns the rule as Traefik's parser reads it.
func RuleTree(rule string) (*rules.Tree, error) { return ruleTree(rule, matchers) }

func ruleTree(rule string, among map[string]matcher) (*rules.Tree, error) {
	parser, err := rules.NewParser(slices.Sorted(maps.Keys(among)))
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

func checkTree(t *rules.Tree, among map[string]matcher) error {
	if t.RuleLeft != nil || t.RuleRight != nil {
		return errors.Join(checkTree(t.RuleLeft, among), checkTree(t.RuleRight, among))
	}
	if err := rules.CheckRule(t); err != nil {
		return err
	}
	m := among[t.Matcher]
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

package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Matcher selects the users of a cohort. Exactly one field is set.
type Matcher struct {
	Header   *Header   `json:"header,omitempty"`
	Cookie   *Cookie   `json:"cookie,omitempty"`
	Query    *Query    `json:"query,omitempty"`
	ClientIP string    `json:"clientIP,omitempty"` // a CIDR or an address
	All      []Matcher `json:"all,omitempty"`
	Any      []Matcher `json:"any,omitempty"`
	Not      *Matcher  `json:"not,omitempty"`
}

// Header matches a request header by value or, if Regexp is set, by regular expression (RE2).
type Header struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Regexp string `json:"regexp,omitempty"`
}

// Cookie matches a cookie by value, among others in the same Cookie header.
type Cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Query matches a query parameter by value.
type Query struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// maxDepth bounds the nesting of matchers, far above any cohort that a person could understand.
const maxDepth = 16

// Problem is one error in a matcher.
type Problem struct {
	// Path leads to the field, such as "all[1].header.name"; empty for the matcher itself.
	Path string
	Text string
}

// String is "path: text".
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Problems lists everything that is wrong with m, in the order of its fields; an empty list means that every gateway
// can match it.
func (m Matcher) Problems() []Problem { return m.problems("", 1) }

func (m Matcher) problems(path string, depth int) []Problem {
	if depth > maxDepth {
		return []Problem{{path, fmt.Sprintf("matchers are nested more than %d deep", maxDepth)}}
	}
	at := func(field string) string { return strings.TrimPrefix(path+"."+field, ".") }
	set := 0
	var out []Problem
	add := func(field string, problems ...Problem) {
		set++
		for _, p := range problems {
			out = append(out, Problem{strings.TrimSuffix(at(field)+"."+p.Path, "."), p.Text})
		}
	}
	if m.Header != nil {
		add("header", m.Header.problems()...)
	}
	if m.Cookie != nil {
		add("cookie", m.Cookie.problems()...)
	}
	if m.Query != nil {
		add("query", m.Query.problems()...)
	}
	if m.ClientIP != "" {
		set++
		if _, err := canonicalIP(m.ClientIP); err != nil {
			out = append(out, Problem{at("clientIP"), err.Error()})
		}
	}
	for _, list := range []struct {
		name string
		of   []Matcher
	}{{"all", m.All}, {"any", m.Any}} {
		if len(list.of) > 0 {
			set++
		}
		for i, c := range list.of {
			out = append(out, c.problems(at(list.name)+"["+strconv.Itoa(i)+"]", depth+1)...)
		}
	}
	if m.Not != nil {
		set++
		out = append(out, m.Not.problems(at("not"), depth+1)...)
	}
	if set != 1 {
		out = append(out, Problem{path, fmt.Sprintf("a matcher has exactly one of header, cookie, query, clientIP, all, any, not; here are %d", set)})
	}
	return out
}

func (h Header) problems() []Problem {
	out := token7230("name", h.Name)
	if strings.EqualFold(h.Name, "Host") {
		out = append(out, Problem{"name", "gateways do not treat the host as a header: put it into the route's rule"})
	}
	switch {
	case h.Value != "" && h.Regexp != "":
		out = append(out, Problem{"", "value and regexp exclude each other"})
	case h.Regexp != "":
		out = append(out, plain("regexp", h.Regexp)...)
		if _, err := regexp.Compile(h.Regexp); err != nil {
			out = append(out, Problem{"regexp", err.Error()})
		}
	default:
		out = append(out, plain("value", h.Value)...)
		if strings.TrimSpace(h.Value) != h.Value {
			out = append(out, Problem{"value", "spaces around a header's value never arrive, so it would match nobody"})
		}
	}
	return out
}

func (c Cookie) problems() []Problem {
	out := append(token7230("name", c.Name), plain("value", c.Value)...)
	if strings.Contains(c.Value, ";") {
		out = append(out, Problem{"value", "a semicolon ends a cookie, so it would match nobody"})
	}
	return out
}

func (q Query) problems() []Problem {
	return append(plain("name", q.Name), plain("value", q.Value)...)
}

// token7230 checks the name of a header or cookie: RFC 7230, section 3.2.6; RFC 6265, section 4.1.1.
func token7230(field, s string) []Problem {
	for _, r := range s {
		if !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			return []Problem{{field, fmt.Sprintf("%q is not allowed in a name", r)}}
		}
	}
	if s == "" {
		return []Problem{{field, "is missing"}}
	}
	return nil
}

// plain refuses texts that cannot be in a rule, or never occur in a request.
func plain(field, s string) []Problem {
	switch {
	case s == "":
		return []Problem{{field, "is missing"}}
	case !utf8.ValidString(s):
		return []Problem{{field, "is not UTF-8"}}
	case strings.ContainsFunc(s, unicode.IsControl):
		return []Problem{{field, "has control characters"}}
	}
	return nil
}

// canonicalIP returns the canonical form of an address or CIDR, so that none of the user's text gets into a rule.
func canonicalIP(text string) (string, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.String(), nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return a.String(), nil
	}
	return "", fmt.Errorf("%q is neither an address nor a CIDR such as 10.0.0.0/8", text)
}

// Text returns the matcher in a canonical notation in which every backend reports its matchers, so that what a gateway
// serves can be compared with what it should serve. The notation is that of Go expressions, such as Header(`X-Group`,
// `beta`) && !ClientIP(`10.0.0.0/8`), in which a cookie is a regular expression on its header. It is also a Traefik rule.
// The error holds all [Problem]s.
func (m Matcher) Text() (string, error) {
	if problems := m.Problems(); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = errors.New(p.String())
		}
		return "", fmt.Errorf("matcher: %w", errors.Join(errs...))
	}
	return m.text(), nil
}

// text is [Matcher.Text] for a matcher without problems.
func (m Matcher) text() string {
	switch {
	case m.Header != nil && m.Header.Regexp != "":
		return call("HeaderRegexp", m.Header.Name, m.Header.Regexp)
	case m.Header != nil:
		return call("Header", m.Header.Name, m.Header.Value)
	case m.Cookie != nil:
		return call("HeaderRegexp", "Cookie", m.Cookie.pattern())
	case m.Query != nil:
		return call("Query", m.Query.Name, m.Query.Value)
	case m.ClientIP != "":
		ip, _ := canonicalIP(m.ClientIP) //nolint:errcheck // it has no problems
		return call("ClientIP", ip)
	case m.Not != nil:
		return "!" + m.Not.operand()
	case len(m.All) > 0:
		return join(m.All, " && ")
	default:
		return join(m.Any, " || ")
	}
}

func join(matchers []Matcher, operator string) string {
	parts := make([]string, len(matchers))
	for i, m := range matchers {
		parts[i] = m.operand()
	}
	return strings.Join(parts, operator)
}

// operand is the text, in parentheses if it may contain an operator.
func (m Matcher) operand() string {
	if len(m.All) > 0 || len(m.Any) > 0 {
		return "(" + m.text() + ")"
	}
	return m.text()
}

func call(matcher string, values ...string) string {
	for i, v := range values {
		values[i] = Quote(v)
	}
	return matcher + "(" + strings.Join(values, ", ") + ")"
}

// Quote writes s as a value in the notation of [Matcher.Text], and so in a Traefik rule. All values get into either by
// this function. Both are read as Go expressions, so the value is in backquotes if possible, and otherwise in double quotes
// with Go's escapes.
func Quote(s string) string {
	if strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return strconv.Quote(s)
}

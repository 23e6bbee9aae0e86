package migrate

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metric is one metric of Serin's analysis, or one that could not be converted.
type metric struct {
	name string
	// preset, or bad/good and total, or histogram: what is measured.
	preset            string
	bad, good, total  string
	histogram         string
	slowerThan        time.Duration
	fixed             float64 // the share that must not be exceeded; 0: a comparison with stable
	comments          []string
	unconverted       string // why it could not be converted; empty if it was
	query             string // the original's
	successConditions string
}

// converted reports whether there is something to measure.
func (m *metric) converted() bool { return m.unconverted == "" }

// query is a query of the old controller's, and how it names its arm.
type query struct {
	text string
	// limit is what the result is compared with; if over, a larger result is bad, otherwise a smaller one.
	limit float64
	over  bool
	// names are texts that identify the arm in a matcher, such as the canary's Service.
	names []string
}

// The parts of a query once its spaces are gone.
const (
	selectorForm = `([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"'{}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*\})?\[[^\][]*\]`
	sumForm      = `\(?sum\((?:rate|irate|increase)\(` + selectorForm + `\)\)\)?`
)

var (
	ratioForm    = regexp.MustCompile(`^\(?(100-|1-)?\(?` + sumForm + `/` + sumForm + `\)?(\*100)?\)?(\*100)?$`)
	quantileForm = regexp.MustCompile(`^(?:histogram_quantile)\((0?\.[0-9]+),sum(?:by\(le\))?\((?:rate|irate)\(` +
		selectorForm + `\)\)(?:by\(le\))?\)(\*1000)?$`)
	matcherForm = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)(=~|!~|!=|=)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')(,|$)`)
)

// measure makes a metric of a query: a ratio of two counters, or a quantile of a histogram.
func (q query) measure(m *metric) {
	text := unspaced(q.text)
	if r := ratioForm.FindStringSubmatch(text); r != nil {
		q.ratio(m, r)
		return
	}
	if h := quantileForm.FindStringSubmatch(text); h != nil {
		q.quantile(m, h)
		return
	}
	m.unconverted = "its query is neither a ratio of two sums of rates nor a quantile of a histogram"
}

// ratio converts: 100 - sum(rate(part))/sum(rate(whole)) * 100.
func (q query) ratio(m *metric, r []string) {
	limit, complement := q.limit, r[1] != ""
	if r[6] != "" || r[7] != "" || r[1] == "100-" {
		limit /= 100
	}
	part, whole := q.selector(m, r[2], r[3]), q.selector(m, r[4], r[5])
	if !m.converted() {
		return
	}
	m.total = whole.String()
	over := q.over
	if complement { // the query measures the complement of the part
		limit, over = 1-limit, !over
	}
	if !over { // less than the limit is bad, so the part counts the wanted events
		if bad, ok := part.without(whole); ok {
			part, limit, over = bad, 1-limit, true
		}
	}
	if !over {
		m.good = part.String()
		m.comments = append(m.comments, "the threshold is not kept, for Serin counts what should not happen against "+
			"one: name that counter as bad, with baseline: {fixed: "+percent(1-limit)+"}")
		return
	}
	m.bad = part.String()
	m.fix(limit)
}

// fix keeps a threshold as a share that must not be exceeded.
func (m *metric) fix(limit float64) {
	limit = math.Round(limit*1e9) / 1e9
	if limit <= 0 || limit >= 1 {
		m.comments = append(m.comments, "the threshold "+strconv.FormatFloat(limit, 'g', 6, 64)+
			" is not a share between 0% and 100%: compared with the version in service instead")
		return
	}
	m.fixed = limit
}

// quantile converts: histogram_quantile(0.99, sum(rate(buckets)) by (le)).
func (q query) quantile(m *metric, h []string) {
	buckets := q.selector(m, h[2], h[3])
	if !m.converted() {
		return
	}
	share, err := strconv.ParseFloat(h[1], 64)
	if err != nil || !q.over {
		m.unconverted = "a quantile is compared with a bound that it may not exceed"
		return
	}
	unit := float64(time.Second)
	if h[4] == "" && (strings.Contains(h[2], "_ms") || strings.Contains(h[2], "milliseconds")) || h[4] != "" {
		unit = float64(time.Millisecond)
	}
	bound := time.Duration(q.limit * unit).Round(time.Millisecond)
	if !(q.limit > 0 && q.limit*unit < float64(24*time.Hour)) || bound <= 0 {
		m.unconverted = "its bound is not a time"
		return
	}
	m.histogram, m.slowerThan = buckets.String(), bound
	m.comments = append(m.comments, fmt.Sprintf("the %s quantile below %s is a share of slower requests below %s; "+
		"the bound has to be one of the histogram's", h[1], span(bound), percent(1-share)))
	m.fix(1 - share)
}

// selector is a series with its matchers.
type selector struct {
	name     string
	matchers []string
}

// String is the selector in PromQL.
func (s selector) String() string { return s.name + "{" + strings.Join(s.matchers, ",") + "}" }

// without returns the complement of a part in a whole, if the part has one matcher more: the part with that matcher
// negated.
func (s selector) without(whole selector) (selector, bool) {
	if s.name != whole.name {
		return selector{}, false
	}
	var more []string
	for _, m := range s.matchers {
		if !slices.Contains(whole.matchers, m) {
			more = append(more, m)
		}
	}
	if len(more) != 1 || len(s.matchers) != len(whole.matchers)+1 {
		return selector{}, false
	}
	parts := matcherForm.FindStringSubmatch(more[0])
	if parts == nil {
		return selector{}, false
	}
	opposite := map[string]string{"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[parts[2]]
	out := selector{name: s.name}
	for _, m := range s.matchers {
		if m == more[0] {
			m = parts[1] + opposite + parts[3]
		}
		out.matchers = append(out.matchers, m)
	}
	return out, true
}

// selector makes a series specific to an arm: in place of the matcher that named the old controller's canary, it gets one
// for either version.
func (q query) selector(m *metric, name, matchers string) selector {
	s := selector{name: name}
	rest := strings.TrimSuffix(strings.TrimPrefix(matchers, "{"), "}")
	arms := 0
	for rest != "" {
		parts := matcherForm.FindStringSubmatch(rest)
		if parts == nil {
			m.unconverted = "its matchers cannot be read"
			return s
		}
		rest = rest[len(parts[0]):]
		text := parts[1] + parts[2] + double(parts[3])
		if !q.ofArm(parts[3]) {
			s.matchers = append(s.matchers, text)
			continue
		}
		if arms++; arms > 1 {
			m.comment("the matcher " + text + " is left out: another one names the version already")
			continue
		}
		arm := parts[1] + `=~"${pods}"`
		switch label := strings.ToLower(parts[1]); {
		case strings.HasPrefix(name, "traefik_service_") && strings.HasSuffix(label, "service"):
			arm = parts[1] + `="${service}"`
		case strings.Contains(label, "pod"):
		default:
			arm = `pod=~"${pods}"`
			m.comment("check that these series have a label pod: " + text + " named the version, and Serin knows each by its pods")
		}
		s.matchers = append(s.matchers, arm)
	}
	if arms == 0 {
		m.unconverted = "nothing in its query tells the versions apart: Serin asks for each by itself"
	}
	return s
}

// comment adds one, once.
func (m *metric) comment(text string) {
	if !slices.Contains(m.comments, text) {
		m.comments = append(m.comments, text)
	}
}

// ofArm reports whether a matcher's value names the version.
func (q query) ofArm(value string) bool {
	return slices.ContainsFunc(q.names, func(name string) bool { return name != "" && strings.Contains(value, name) })
}

// double puts a quoted text in double quotes.
func double(quoted string) string {
	if strings.HasPrefix(quoted, "'") {
		return `"` + strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\'`, `'`), `"`, `\"`) + `"`
	}
	return quoted
}

// unspaced removes spaces outside of quotes from a query, and commas before closing braces.
func unspaced(text string) string {
	var b strings.Builder
	quote, escaped := rune(0), false
	for _, r := range text {
		switch {
		case escaped:
			escaped = false
		case quote != 0 && r == '\\':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			continue
		}
		b.WriteRune(r)
	}
	return strings.ReplaceAll(b.String(), ",}", "}")
}

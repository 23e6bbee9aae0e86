package traefik

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/share"
)

// Series says how to find Traefik's own series in a store of metrics. The zero value finds them under the names that Traefik
// gives them.
type Series struct {
	// ServiceLabel is the name of the label service there, if it is another one. A Prometheus operator renames it to
	// exported_service unless it honours the labels of targets.
	ServiceLabel string
	// Match holds further matchers in the form of [analysis.ParseMatchers].
	Match string
}

// Web is the name of the built-in analysis: errors and slow requests from Traefik's own metrics.
const Web = "traefik-web"

// SlowerThan is the bound of the latency preset unless a document names one. Of Traefik's default buckets (0.1, 0.3, 1.2
// and 5 s) it is the one at which a web page begins to feel slow.
const SlowerThan = 300 * time.Millisecond

// Preset is a metric of Traefik's own that documents refer to by name.
type Preset struct {
	Name string
	// Field is the field of a metric's document that only this preset has: codes or slowerThan.
	Field string
	// Source returns what is measured.
	Source func(Series, Asked) analysis.Source
}

// Asked is what a document says about a preset. Zero values leave the preset's defaults.
type Asked struct {
	// Codes are the status codes, or classes of them, that count as errors.
	Codes []string
	// SlowerThan has to be one of the bucket bounds that Traefik is configured with.
	SlowerThan time.Duration
}

// Presets lists all presets.
func Presets() []Preset {
	return []Preset{
		{"traefik-errors", "codes", func(s Series, a Asked) analysis.Source { return s.Errors(a.Codes...) }},
		{"traefik-latency", "slowerThan", func(s Series, a Asked) analysis.Source {
			return s.Latency(cmp.Or(a.SlowerThan, SlowerThan))
		}},
	}
}

// serverErrors are the codes that count as errors unless others are named.
const serverErrors = "5xx"

var codeForm = regexp.MustCompile(`^[1-9](xx|[0-9]{2})$`)

// IsCode reports whether a text is a status code or a class of them, such as 5xx.
func IsCode(text string) bool { return codeForm.MatchString(text) }

// selector selects one of Traefik's series for the service of an arm.
func (s Series) selector(name string, more ...string) analysis.Selector {
	matchers := append([]string{cmp.Or(s.ServiceLabel, "service") + `="${service}"`}, more...)
	if s.Match != "" {
		matchers = append(matchers, s.Match)
	}
	return analysis.Selector(name + "{" + strings.Join(matchers, ",") + "}")
}

// Requests selects the counter of an arm's requests. It does not count responses that Traefik's middlewares make.
func (s Series) Requests() analysis.Selector { return s.selector("traefik_service_requests_total") }

// Errors counts responses with one of the codes, or 5xx if none are named, among all requests of the arm's service.
func (s Series) Errors(codes ...string) analysis.Ratio {
	if len(codes) == 0 {
		codes = []string{serverErrors}
	}
	patterns := make([]string, len(codes))
	for i, c := range codes {
		patterns[i] = strings.ReplaceAll(c, "x", ".")
	}
	return analysis.Ratio{
		Bad:   s.selector("traefik_service_requests_total", `code=~`+strconv.Quote(strings.Join(patterns, "|"))),
		Total: s.Requests(),
	}
}

// Latency counts requests that took longer than slowerThan, which has to be one of the bucket bounds that Traefik is
// configured with.
func (s Series) Latency(slowerThan time.Duration) analysis.Slow {
	return analysis.Slow{Histogram: s.selector("traefik_service_request_duration_seconds_bucket"), SlowerThan: slowerThan}
}

// Web returns the built-in analysis with the name [Web].
func (s Series) Web() analysis.Definition {
	hundredth := share.Share(0.01)
	return analysis.Definition{Name: Web, Split: analysis.Split{Requests: s.Requests()}, Metrics: []analysis.Metric{
		{Name: "errors", Source: s.Errors(), Weight: 2},
		{Name: "slow-requests", Source: s.Latency(SlowerThan), Margin: analysis.Margin{Absolute: &hundredth}},
	}}.Defaults()
}

// And returns s with the settings of a more specific place: another name of the label, and further matchers.
func (s Series) And(serviceLabel, match string) Series {
	s.ServiceLabel = cmp.Or(serviceLabel, s.ServiceLabel)
	s.Match = strings.Join(slices.DeleteFunc([]string{s.Match, match}, func(m string) bool { return m == "" }), ",")
	return s
}

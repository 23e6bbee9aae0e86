package analysis

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/share"
)

// Traefik is how Traefik's own series are found where they are kept. The zero value finds them under the names that
// Traefik gives them.
type Traefik struct {
	// ServiceLabel is what the label service is called there; empty: service. A Prometheus operator renames it to
	// exported_service unless it honours the labels of targets.
	ServiceLabel string
	// Match are further matchers, as [ParseMatchers] writes them.
	Match string
}

// TraefikRequests selects the counter of an arm's requests: Traefik's own series of a leaf service. Responses that
// its middlewares make are not among them.
const TraefikRequests Selector = `traefik_service_requests_total{service="${service}"}`

// TraefikSlowerThan is the bound of the built-in analysis: the one of Traefik's default buckets (0.1, 0.3, 1.2 and
// 5 s) at which a web page begins to feel slow.
const TraefikSlowerThan = 300 * time.Millisecond

// The names under which a document asks for a preset.
const (
	PresetTraefikErrors  = "traefik-errors"
	PresetTraefikLatency = "traefik-latency"
	BuiltInTraefikWeb    = "traefik-web"
)

// serverErrors are the codes of the preset traefik-errors where none are named.
const serverErrors = "5xx"

var codeForm = regexp.MustCompile(`^[1-9](xx|[0-9]{2})$`)

// IsCode tells whether a text is a status code, or a class of them such as 5xx.
func IsCode(text string) bool { return codeForm.MatchString(text) }

// selector selects a series of Traefik's own of an arm's service.
func (t Traefik) selector(name string, more ...string) Selector {
	matchers := append([]string{cmp.Or(t.ServiceLabel, "service") + `="${service}"`}, more...)
	if t.Match != "" {
		matchers = append(matchers, t.Match)
	}
	return Selector(name + "{" + strings.Join(matchers, ",") + "}")
}

// Requests selects the counter of an arm's requests.
func (t Traefik) Requests() Selector { return t.selector("traefik_service_requests_total") }

// Errors is the preset traefik-errors: responses with one of the codes, 5xx where none are named, over all requests
// of the arm's service.
func (t Traefik) Errors(codes ...string) Ratio {
	if len(codes) == 0 {
		codes = []string{serverErrors}
	}
	patterns := make([]string, len(codes))
	for i, c := range codes {
		patterns[i] = strings.ReplaceAll(c, "x", ".")
	}
	return Ratio{Bad: t.selector("traefik_service_requests_total", `code=~`+quote(strings.Join(patterns, "|"))), Total: t.Requests()}
}

// Latency is the preset traefik-latency: requests that took longer than slowerThan, which has to be one of the bucket
// bounds that Traefik is configured with.
func (t Traefik) Latency(slowerThan time.Duration) Slow {
	return Slow{Histogram: t.selector("traefik_service_request_duration_seconds_bucket"), SlowerThan: slowerThan}
}

// Web is the built-in analysis traefik-web: errors and slow requests from Traefik's own metrics.
func (t Traefik) Web() Definition {
	hundredth := share.Share(0.01)
	return Definition{Name: BuiltInTraefikWeb, Split: Split{Requests: t.Requests()}, Metrics: []Metric{
		{Name: "errors", Source: t.Errors(), Weight: 2},
		{Name: "slow-requests", Source: t.Latency(TraefikSlowerThan), Margin: Margin{Absolute: &hundredth}},
	}}.Defaults()
}

// And is t with what is said in a place that knows better.
func (t Traefik) And(serviceLabel, match string) Traefik {
	t.ServiceLabel = cmp.Or(serviceLabel, t.ServiceLabel)
	t.Match = strings.Join(slices.DeleteFunc([]string{t.Match, match}, func(s string) bool { return s == "" }), ",")
	return t
}

// TraefikErrors is [Traefik.Errors] under Traefik's own names.
func TraefikErrors() Ratio { return Traefik{}.Errors() }

// TraefikLatency is [Traefik.Latency] under Traefik's own names.
func TraefikLatency(slowerThan time.Duration) Slow { return Traefik{}.Latency(slowerThan) }

// TraefikWeb is [Traefik.Web] under Traefik's own names.
func TraefikWeb() Definition { return Traefik{}.Web() }

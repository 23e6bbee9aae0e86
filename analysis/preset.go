package analysis

import (
	"time"

	"github.com/serindev/serin/share"
)

// Traefik's own series of a leaf service. Responses that its middlewares make are not among them.
const (
	TraefikRequests Selector = `traefik_service_requests_total{service="${service}"}`
	traefikErrors   Selector = `traefik_service_requests_total{service="${service}",code=~"5.."}`
	traefikBuckets  Selector = `traefik_service_request_duration_seconds_bucket{service="${service}"}`

	// TraefikSlowerThan is the bound of the built-in analysis: the one of Traefik's default buckets (0.1, 0.3,
	// 1.2 and 5 s) at which a web page begins to feel slow.
	TraefikSlowerThan = 300 * time.Millisecond
)

// The names under which a document asks for a preset.
const (
	PresetTraefikErrors  = "traefik-errors"
	PresetTraefikLatency = "traefik-latency"
	BuiltInTraefikWeb    = "traefik-web"
)

// TraefikErrors is the preset traefik-errors: responses with a 5xx code over all requests of the arm's service.
func TraefikErrors() Ratio { return Ratio{Bad: traefikErrors, Total: TraefikRequests} }

// TraefikLatency is the preset traefik-latency: requests that took longer than slowerThan, which has to be one
// of the bucket bounds that Traefik is configured with.
func TraefikLatency(slowerThan time.Duration) Slow {
	return Slow{Histogram: traefikBuckets, SlowerThan: slowerThan}
}

// TraefikWeb is the built-in analysis traefik-web: errors and slow requests from Traefik's own metrics.
func TraefikWeb() Definition {
	quarter, thousandth, hundredth := share.Share(0.25), share.Share(0.001), share.Share(0.01)
	return Definition{Name: BuiltInTraefikWeb, Metrics: []Metric{
		{Name: "errors", Source: TraefikErrors(), Margin: Margin{Relative: &quarter, Absolute: &thousandth}, Weight: 2},
		{Name: "slow-requests", Source: TraefikLatency(TraefikSlowerThan), Margin: Margin{Absolute: &hundredth}},
	}}.Defaults()
}

package analysis

import "time"

// The selectors of package traffic/traefik, which imports this package.
const (
	TraefikRequests Selector = `traefik_service_requests_total{service="${service}"}`
	traefikErrors   Selector = `traefik_service_requests_total{service="${service}",code=~"5.."}`
	traefikSeconds  Selector = `traefik_service_request_duration_seconds_bucket{service="${service}"}`
)

func TraefikErrors() Ratio { return Ratio{Bad: traefikErrors, Total: TraefikRequests} }

func TraefikLatency(slowerThan time.Duration) Slow {
	return Slow{Histogram: traefikSeconds, SlowerThan: slowerThan}
}

// Tested is a sample ratio that is tested on Traefik's counter.
func Tested() Split { return Split{Requests: TraefikRequests} }

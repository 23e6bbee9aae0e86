package config

import "github.com/serindev/serin/traffic"

// GuardsSpec holds limits that apply to both arms alike: on one arm only they would bias the comparison.
type GuardsSpec struct {
	// CircuitBreaker of Traefik.
	CircuitBreaker *CircuitBreakerSpec `json:"circuitBreaker,omitempty"`
	// RateLimit of Traefik.
	RateLimit *RateLimitSpec `json:"rateLimit,omitempty"`
}

// CircuitBreakerSpec is Traefik's circuit breaker.
type CircuitBreakerSpec struct {
	// Expression that opens it, as Traefik writes it.
	Expression string `json:"expression" jsonschema:"minLength=1"`
	// CheckPeriod is how often it is evaluated; Traefik's default is 100ms.
	CheckPeriod *Duration `json:"checkPeriod,omitempty"`
	// Fallback is how long it stays open; Traefik's default is 10s. With 1s a bad canary is found in seconds even if its
	// first requests open the circuit breaker; with 10s that takes more than a minute.
	Fallback *Duration `json:"fallback,omitempty"`
	// Recovery is how long it takes to close; Traefik's default is 10s.
	Recovery *Duration `json:"recovery,omitempty"`
	// ResponseCode while it is open; Traefik's default is 503.
	ResponseCode int `json:"responseCode,omitempty" jsonschema:"minimum=100,maximum=599"`
}

// RateLimitSpec is Traefik's rate limit.
type RateLimitSpec struct {
	// Average number of requests in a period.
	Average int64 `json:"average" jsonschema:"minimum=1"`
	// Period; Traefik's default is 1s.
	Period *Duration `json:"period,omitempty"`
	// Burst of requests that may come at once; Traefik's default is 1.
	Burst int64 `json:"burst,omitempty" jsonschema:"minimum=1"`
	// By names the header that identifies the source of a request; by default it is the client's address.
	By string `json:"by,omitempty"`
}

func (c *checker) guards(g *GuardsSpec, l Loader) {
	if g == nil {
		return
	}
	at := c.spec("guards")
	if g.CircuitBreaker != nil {
		for _, d := range []struct {
			name  string
			value *Duration
		}{{"checkPeriod", g.CircuitBreaker.CheckPeriod}, {"fallback", g.CircuitBreaker.Fallback}, {"recovery", g.CircuitBreaker.Recovery}} {
			if d.value != nil && *d.value <= 0 {
				c.fail(at.in("circuitBreaker", d.name), "expected more than 0")
			}
		}
	}
	if g.RateLimit != nil && g.RateLimit.Period != nil && *g.RateLimit.Period <= 0 {
		c.fail(at.in("rateLimit", "period"), "expected more than 0")
	}
	if l.Guards == nil {
		return
	}
	for name, one := range map[string]*GuardsSpec{"circuitBreaker": {CircuitBreaker: g.CircuitBreaker}, "rateLimit": {RateLimit: g.RateLimit}} {
		if err := l.Guards(one.toTraffic()); err != nil {
			c.fail(at.in(name), "%s", err)
		}
	}
}

func (g *GuardsSpec) toTraffic() traffic.Guards {
	var out traffic.Guards
	if g == nil {
		return out
	}
	if b := g.CircuitBreaker; b != nil {
		out.CircuitBreaker = &traffic.CircuitBreaker{Expression: b.Expression, CheckPeriod: long(b.CheckPeriod, 0),
			Fallback: long(b.Fallback, 0), Recovery: long(b.Recovery, 0), ResponseCode: b.ResponseCode}
	}
	if r := g.RateLimit; r != nil {
		out.RateLimit = &traffic.RateLimit{Average: r.Average, Period: long(r.Period, 0), Burst: r.Burst, By: r.By}
	}
	return out
}

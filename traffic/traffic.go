// Package traffic says what a traffic target is, what has been observed of it, and whether the two agree.
//
// It knows no statistics, no rollout and no gateway: traffic/traefikfile and traffic/traefikcrd bring a [Target]
// about and report an [Observed]. [Confirm] and [Differences] compare the two. All of it is pure. Start at [Target].
package traffic

import (
	"time"

	"github.com/serindev/serin/share"
)

// Target is what the traffic of one rollout has to look like now. It is a level: applying it twice is the same
// as once.
type Target struct {
	// Stable serves what Canary does not. The rollout decides which set of servers plays which role.
	Stable Backend `json:"stable"`
	Canary Backend `json:"canary"`
	// Weight is the canary's share of the main route.
	Weight share.Share `json:"weight"`
	// Sticky: users keep the version that they were given first, by a cookie, as long as this word stays the same and the
	// version has a weight; new users are given one by the weights. Empty: each request is. It has only characters that are
	// allowed in the name of a cookie.
	Sticky string `json:"sticky,omitempty"`
	// Out: the canary is not just at weight 0 but not part of the weighted service at all, so that its pods may go
	// (Kubernetes; servers in a file stay, at weight 0). Where the work is divided by pods: the canary's are being prepared,
	// and are not taken away.
	Out bool `json:"out,omitempty"`
	// Cohort is the A/B route in front of the main one; nil for none.
	Cohort *Cohort `json:"cohort,omitempty"`
	// Mirror sends the canary copies of users' requests; nil for none. It excludes a weight and a cohort.
	Mirror *Mirror `json:"mirror,omitempty"`
	// Preview is a route of the canary's own, for no ordinary user; nil for none.
	Preview *Preview `json:"preview,omitempty"`
	Guards  Guards   `json:"guards,omitzero"`
}

// Backend is where one arm is served: servers (file provider) or a Service (Kubernetes).
type Backend struct {
	// Servers are base URLs, at least one.
	Servers []string `json:"servers,omitempty"`
	// Service and Port name a Kubernetes Service; Port is a number or a name.
	Service string `json:"service,omitempty"`
	Port    string `json:"port,omitempty"`
}

// Route is where the gateway receives the requests of a rollout. It does not change during a release.
type Route struct {
	// Rule is a rule of the gateway as the user wrote it, parsed before it is used.
	Rule        string   `json:"rule"`
	EntryPoints []string `json:"entryPoints,omitempty"`
	// Priority of the main router; 0 leaves the choice to the backend, which always writes an explicit one.
	Priority int  `json:"priority,omitempty"`
	TLS      *TLS `json:"tls,omitempty"`
	// Middlewares of the user's own, in the order in which a request passes them, before the guards.
	Middlewares   []Middleware   `json:"middlewares,omitempty"`
	Observability *Observability `json:"observability,omitempty"`
}

// TLS of a route; the zero value is TLS with the gateway's defaults.
type TLS struct {
	SecretName string `json:"secretName,omitempty"`
	// Passthrough leaves the TLS of a TCP route to the servers.
	Passthrough  bool   `json:"passthrough,omitempty"`
	CertResolver string `json:"certResolver,omitempty"`
	Options      string `json:"options,omitempty"`
	// OptionsNamespace is the options' namespace on Kubernetes; the route's if it is empty.
	OptionsNamespace string `json:"optionsNamespace,omitempty"`
	// Domains to request certificates for; without any the gateway takes them from the rule.
	Domains []Domain `json:"domains,omitempty"`
}

// Cohort is the part of the users that takes part in an A/B step.
type Cohort struct {
	Match Matcher `json:"match"`
	// Split is the canary's share inside the cohort.
	Split share.Share `json:"split"`
	// Sticky: users keep their arm, by a cookie, as long as this word stays the same; empty: they do not. It has only
	// characters that are allowed in the name of a cookie.
	Sticky string `json:"sticky,omitempty"`
}

// Guards are limits that protect both arms equally: on one arm only they would bias the comparison.
type Guards struct {
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`
	RateLimit      *RateLimit      `json:"rateLimit,omitempty"`
}

// CircuitBreaker opens when its expression holds; zero durations leave the gateway's defaults (10 s each, checked every
// 100 ms).
type CircuitBreaker struct {
	Expression  string        `json:"expression"`
	CheckPeriod time.Duration `json:"checkPeriod,omitempty"`
	Fallback    time.Duration `json:"fallback,omitempty"`
	Recovery    time.Duration `json:"recovery,omitempty"`
	// ResponseCode while open; 0 is 503.
	ResponseCode int `json:"responseCode,omitempty"`
}

// RateLimit allows Average requests per Period (default 1 s), with bursts up to Burst (default 1).
type RateLimit struct {
	Average int64         `json:"average"`
	Period  time.Duration `json:"period,omitempty"`
	Burst   int64         `json:"burst,omitempty"`
	// By names the header that identifies the source of a request; empty means the client's address.
	By string `json:"by,omitempty"`
}

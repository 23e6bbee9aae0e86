// Package traffic answers three questions: what a gateway should do with the requests of a rollout, what it was observed to
// do, and whether the two agree.
//
// It knows nothing of statistics, rollouts or gateways: the packages below it bring a [Target] about and report an
// [Observed]. [Confirm] and [Differences] compare the two. All of it is pure. Start at [Target].
package traffic

import (
	"time"

	"github.com/serindev/serin/share"
)

// Target is what the traffic of one rollout has to look like now. It describes a state, so applying it twice is the same as
// applying it once.
type Target struct {
	// Stable serves all requests that Canary does not. The rollout decides which set of servers has which role.
	Stable Backend `json:"stable"`
	Canary Backend `json:"canary"`
	// Weight is the canary's share of the main route.
	Weight share.Share `json:"weight"`
	// Sticky, if not empty, lets users keep the version that they were first given, by a cookie, as long as this word stays
	// the same and the version has a weight. New users get a version by the weights. If it is empty, every request does.
	// The word has only characters that are allowed in the name of a cookie.
	Sticky string `json:"sticky,omitempty"`
	// Out removes the canary from the weighted service instead of giving it weight 0, so that its pods may go (Kubernetes;
	// servers in a file stay at weight 0). Where work is divided by pods, it means that the canary's pods are being prepared
	// and must not be taken away.
	Out bool `json:"out,omitempty"`
	// Cohort is the A/B route in front of the main one, or nil.
	Cohort *Cohort `json:"cohort,omitempty"`
	// Mirror sends copies of users' requests to the canary, or is nil. It excludes a weight and a cohort.
	Mirror *Mirror `json:"mirror,omitempty"`
	// Preview is a route to the canary for people who try it out, or nil.
	Preview *Preview `json:"preview,omitempty"`
	Guards  Guards   `json:"guards,omitzero"`
}

// Backend is where one arm is served: servers (file provider) or a Service (Kubernetes).
type Backend struct {
	// Servers are base URLs.
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
	// Priority is that of the main router. 0 leaves the choice to the backend, which always writes an explicit one.
	Priority int  `json:"priority,omitempty"`
	TLS      *TLS `json:"tls,omitempty"`
	// Middlewares are the user's own, in the order in which a request passes them. The guards come after them.
	Middlewares   []Middleware   `json:"middlewares,omitempty"`
	Observability *Observability `json:"observability,omitempty"`
}

// TLS is that of a route. The zero value is TLS with the gateway's defaults.
type TLS struct {
	SecretName string `json:"secretName,omitempty"`
	// Passthrough leaves the TLS of a TCP route to the servers.
	Passthrough  bool   `json:"passthrough,omitempty"`
	CertResolver string `json:"certResolver,omitempty"`
	Options      string `json:"options,omitempty"`
	// OptionsNamespace is the namespace of the options on Kubernetes. It is empty for the route's own.
	OptionsNamespace string `json:"optionsNamespace,omitempty"`
	// Domains are those to request certificates for. Without any, the gateway takes them from the rule.
	Domains []Domain `json:"domains,omitempty"`
}

// Cohort is the users who take part in an A/B step.
type Cohort struct {
	Match Matcher `json:"match"`
	// Split is the canary's share inside the cohort.
	Split share.Share `json:"split"`
	// Sticky, if not empty, lets users keep their arm by a cookie, as long as this word stays the same. It has only
	// characters that are allowed in the name of a cookie.
	Sticky string `json:"sticky,omitempty"`
}

// Guards are limits that protect both arms equally: on one arm alone they would bias the comparison.
type Guards struct {
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`
	RateLimit      *RateLimit      `json:"rateLimit,omitempty"`
}

// CircuitBreaker opens when its expression holds. Zero durations leave the gateway's defaults (10 s each, checked every
// 100 ms).
type CircuitBreaker struct {
	Expression  string        `json:"expression"`
	CheckPeriod time.Duration `json:"checkPeriod,omitempty"`
	Fallback    time.Duration `json:"fallback,omitempty"`
	Recovery    time.Duration `json:"recovery,omitempty"`
	// ResponseCode is the answer while it is open. 0 means 503.
	ResponseCode int `json:"responseCode,omitempty"`
}

// RateLimit allows Average requests per Period (default 1 s), with bursts up to Burst (default 1).
type RateLimit struct {
	Average int64         `json:"average"`
	Period  time.Duration `json:"period,omitempty"`
	Burst   int64         `json:"burst,omitempty"`
	// By names the header that identifies the source of a request. If it is empty, the client's address does.
	By string `json:"by,omitempty"`
}

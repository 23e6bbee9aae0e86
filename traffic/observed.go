package traffic

import "github.com/serindev/serin/share"

// Observed is what the gateway has and serves, as far as it could be asked.
type Observed struct {
	// Configured is what is written where the gateway reads it: the file, or the custom resources. It is nil while
	// there is nothing. Unreadable says why it could not be read, or which foreign parts are in it.
	Configured *Configured `json:"configured,omitempty"`
	Unreadable string      `json:"unreadable,omitempty"`
	// Replicas are the gateway's own answers, in the order of the configuration; empty where no API is configured.
	Replicas []Replica `json:"replicas,omitempty"`
}

// Configured is the written configuration, reduced to what Serin owns.
type Configured struct {
	// Digest is a hash of everything that Serin owns; equal digests mean equal configurations. [Differences] ignores
	// it: backends use it to find external edits that the other fields do not show.
	Digest string `json:"digest"`
	// Foreign says in words what differs from what was last written, and by whom where that is known; empty for none.
	Foreign []string `json:"foreign,omitempty"`
	Served
}

// Replica is one replica of the gateway.
type Replica struct {
	// Name is its address, without credentials.
	Name string `json:"name"`
	// Err says why it could not be asked; the rest is then zero.
	Err string `json:"err,omitempty"`
	Served
}

// Served is what is, or would be, served.
type Served struct {
	Main   *RouteServed `json:"main,omitempty"`
	Cohort *RouteServed `json:"cohort,omitempty"`
	// Mirror is the route whose requests the canary gets copies of. Its Weight is the share that is copied: no user gets
	// the canary by it.
	Mirror *RouteServed `json:"mirror,omitempty"`
	// Preview is the canary's own route, with a Weight of 1: no ordinary user takes it.
	Preview *RouteServed `json:"preview,omitempty"`
	// Guards are the names of the guards in use on the main route: "circuitBreaker", "rateLimit", sorted.
	Guards []string `json:"guards,omitempty"`
	// Limits are the guards with their values in the gateway; nil if it does not report them.
	Limits *Guards `json:"limits,omitempty"`
}

// RouteServed is one route with its weighted service.
type RouteServed struct {
	// Enabled: router, weighted service and both children are enabled, without errors.
	Enabled bool `json:"enabled"`
	// Problem says what is wrong in the gateway's own words; empty if Enabled.
	Problem string `json:"problem,omitempty"`
	// Weight is the canary's share by the weights that are set.
	Weight share.Share `json:"weight"`
	// Match says which requests are on the route, as [Matcher.Text] writes it; empty on the main route.
	Match string `json:"match,omitempty"`
	// MaxBody bounds the bodies of copied requests, in bytes; 0 on other routes than the mirror's.
	MaxBody int64 `json:"maxBody,omitempty"`
	// Sticky is the word that keeps users on their arm; empty if nothing does.
	Sticky string `json:"sticky,omitempty"`
	// Stable and Canary are the servers behind each child, sorted; empty if the gateway does not report them.
	Stable []string `json:"stable,omitempty"`
	Canary []string `json:"canary,omitempty"`
}

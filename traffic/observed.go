package traffic

import "github.com/serindev/serin/share"

// Observed is what the gateway has and serves, as far as it could be asked.
type Observed struct {
	// Configured is what is written where the gateway reads it: the file, the custom resources. It is nil while
	// there is nothing, and Unreadable says why it could not be read.
	Configured *Configured `json:"configured,omitempty"`
	Unreadable string      `json:"unreadable,omitempty"`
	// Replicas are the gateway's own answers, in the order of the configuration; empty where no API is configured.
	Replicas []Replica `json:"replicas,omitempty"`
}

// Configured is the written configuration, reduced to what Serin owns.
type Configured struct {
	// Digest is a hash of everything that Serin owns; equal digests mean equal configurations. [Differences] does
	// not look at it: a backend uses it to find a foreign edit in what the other fields do not show.
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
	// Guards are the names of the guards in use on the main route: "circuitBreaker", "rateLimit", sorted.
	Guards []string `json:"guards,omitempty"`
	// Limits are the guards with their values, as the gateway has them; nil where it does not tell.
	Limits *Guards `json:"limits,omitempty"`
}

// RouteServed is one route with its weighted service.
type RouteServed struct {
	// Enabled: router, weighted service and both children are enabled, without errors.
	Enabled bool `json:"enabled"`
	// Problem is the gateway's own word on what is wrong; empty if Enabled.
	Problem string `json:"problem,omitempty"`
	// Weight is the canary's share by the weights that are set.
	Weight share.Share `json:"weight"`
	// Match is the cohort's matcher as [Matcher.Text] writes it; empty on the main route.
	Match string `json:"match,omitempty"`
	// Sticky is the word by which users keep their arm; empty if they do not.
	Sticky string `json:"sticky,omitempty"`
	// Stable and Canary are the servers behind each child, sorted; empty where the gateway does not tell.
	Stable []string `json:"stable,omitempty"`
	Canary []string `json:"canary,omitempty"`
}

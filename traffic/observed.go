package traffic

import "github.com/serindev/serin/share"

// Observed is what the gateway is configured with and what it serves, as far as either could be read.
type Observed struct {
	// Configured is the configuration that the gateway reads: the file, or the custom resources. It is nil if there is
	// none. Unreadable says why it could not be read, or which foreign parts are in it.
	Configured *Configured `json:"configured,omitempty"`
	Unreadable string      `json:"unreadable,omitempty"`
	// Replicas are the gateway's own answers, in the order of the configuration. It is empty if no API is configured.
	Replicas []Replica `json:"replicas,omitempty"`
}

// Configured is the written configuration, reduced to what Serin owns.
type Configured struct {
	// Digest is a hash of everything that Serin owns: equal digests mean equal configurations. It shows external edits
	// that no other field does. [Differences] ignores it.
	Digest string `json:"digest"`
	// Foreign describes the differences from what was last written, and who made them if that is known.
	Foreign []string `json:"foreign,omitempty"`
	Served
}

// Replica is one replica of the gateway.
type Replica struct {
	// Name is its address, without credentials.
	Name string `json:"name"`
	// Err says why it could not be asked. The other fields are zero then.
	Err string `json:"err,omitempty"`
	Served
}

// Served is what is, or would be, served.
type Served struct {
	Main   *RouteServed `json:"main,omitempty"`
	Cohort *RouteServed `json:"cohort,omitempty"`
	// Mirror is the route whose requests are copied to the canary. Its Weight is the share that is copied; users never get
	// the canary through it.
	Mirror *RouteServed `json:"mirror,omitempty"`
	// Preview is the canary's own route, with a Weight of 1. Ordinary users do not get there.
	Preview *RouteServed `json:"preview,omitempty"`
	// Guards are the names of the guards in use on the main route: "circuitBreaker", "rateLimit", sorted.
	Guards []string `json:"guards,omitempty"`
	// Limits are the guards with their values in the gateway, or nil if it does not report them.
	Limits *Guards `json:"limits,omitempty"`
}

// RouteServed is one route with its weighted service.
type RouteServed struct {
	// Enabled means that router, weighted service and both children are enabled and have no errors.
	Enabled bool `json:"enabled"`
	// Problem says what is wrong, in the gateway's words. It is empty if Enabled.
	Problem string `json:"problem,omitempty"`
	// Weight is the canary's share according to the weights.
	Weight share.Share `json:"weight"`
	// Match says which requests are on the route, in the notation of [Matcher.Text]. It is empty for the main route.
	Match string `json:"match,omitempty"`
	// MaxBody bounds the bodies of copied requests, in bytes. It is 0 except for the mirror's route.
	MaxBody int64 `json:"maxBody,omitempty"`
	// Sticky is the word that keeps users on their arm, or empty if nothing does.
	Sticky string `json:"sticky,omitempty"`
	// Stable and Canary are the servers behind each child, sorted. They are empty if the gateway does not report them.
	Stable []string `json:"stable,omitempty"`
	Canary []string `json:"canary,omitempty"`
}

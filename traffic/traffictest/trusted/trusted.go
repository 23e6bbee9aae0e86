// Package trusted is a gateway in memory for tests that are not about traffic: what is written to it counts as served,
// as with a rollout whose `verify` says trust. What the real gateways do is shown by package traffictest. It imports
// neither Traefik nor Kubernetes, so that the test binaries which use it stay small.
package trusted

import (
	"context"
	"sync"

	"github.com/serindev/serin/traffic"
)

// Router is an engine.Router. Its methods may be called from several goroutines.
type Router struct {
	rollout string

	mu     sync.Mutex // guards served
	served *traffic.Served
}

// New is the gateway of a rollout, to which nothing has been written.
func New(rollout string) *Router { return &Router{rollout: rollout} }

// Apply implements engine.Router.
func (r *Router) Apply(_ context.Context, t traffic.Target) error {
	served, err := traffic.Serves(t)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served = &served
	return nil
}

// Observe implements engine.Router. No replica can be asked.
func (r *Router) Observe(context.Context) (traffic.Observed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served == nil {
		return traffic.Observed{}, nil
	}
	return traffic.Observed{Configured: &traffic.Configured{Served: *r.served}}, nil
}

// Watched says that nobody reports changes.
func (r *Router) Watched() bool { return false }

// Labels implements engine.Router.
func (r *Router) Labels(traffic.Lane) (canary, stable string) {
	return r.rollout + "-canary@file", r.rollout + "-stable@file"
}

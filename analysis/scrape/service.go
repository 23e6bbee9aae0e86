package scrape

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Service is a set of targets that come and go, such as the replicas behind a Service of Kubernetes.
type Service struct {
	// Name is for people.
	Name string
	// Follow calls told with all current targets, as soon as they are known and after each change, or with the error
	// why they are unknown; then the earlier ones continue to be read. It returns the error of ctx once that is done.
	Follow func(ctx context.Context, told func(targets []Target, err error)) error
}

// Target is one target of a [Service].
type Target struct {
	// Address is the full address of the metrics.
	Address string
	// Labels are added to each of its series, in addition to job and instance.
	Labels map[string]string
}

// following is the last report of a service.
type following struct {
	Service
	targets []Target
	known   bool
	err     error
}

// errNotKnown: there is no report of a service yet.
var errNotKnown = errors.New("its targets are not known yet")

// lacks explains why there may be targets that are not read.
func (f *following) lacks() error {
	switch {
	case f.err != nil:
		return f.err
	case !f.known:
		return errNotKnown
	case len(f.targets) == 0:
		return errors.New("nothing is behind it")
	}
	return nil
}

// maxGone is how many targets are kept that are no longer read: their counts are a part of the day from which a release
// learns.
const maxGone = 4 * MaxTargets

// found applies the report of a service. Two services may share targets, each of which is read once.
func (s *Source) found(ctx context.Context, group *errgroup.Group, f *following, targets []Target, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := f.err
	if f.err = err; err != nil {
		if said == nil || said.Error() != err.Error() {
			s.log.Warn("the targets of a service are not known", "service", f.Name, "err", err)
		}
		return
	}
	f.targets, f.known = targets, true
	wanted := map[string]*target{}
	for _, of := range s.services {
		for _, t := range of.targets {
			u, err := parseTarget(t.Address)
			if err != nil {
				of.err = err
				continue
			}
			if wanted[u.Host] == nil && !s.always(u.Host) {
				wanted[u.Host] = s.targetAt(u, t)
			}
		}
	}
	s.retire(wanted)
	reading := len(slices.DeleteFunc(slices.Clone(s.targets), func(t *target) bool { return t.gone }))
	for _, host := range slices.Sorted(maps.Keys(wanted)) {
		t := wanted[host]
		if t.stop != nil && !t.gone {
			continue // it is read already
		}
		if reading == MaxTargets {
			f.err = fmt.Errorf("there are more than %d targets, and not all are read; for so many use a Prometheus", MaxTargets)
			s.log.Warn("not all targets are read", "service", f.Name, "err", f.err)
			break
		}
		reading++
		s.start(ctx, group, t)
	}
}

// always reports whether an address belongs to a target that is not from a service.
func (s *Source) always(host string) bool {
	return slices.ContainsFunc(s.targets, func(t *target) bool { return t.stop == nil && t.id.Instance == host })
}

// targetAt is the target at an address: the earlier one, if it is the same.
func (s *Source) targetAt(u *url.URL, t Target) *target {
	fresh := newTarget(u, t.Labels)
	for _, known := range s.targets {
		if known.shown == fresh.shown && maps.Equal(known.more, fresh.more) {
			known.askAt(u) // what was stored before the start has no secrets
			return known
		}
	}
	return fresh
}

// retire stops reading targets that are no longer wanted, and forgets those that were retired long ago.
func (s *Source) retire(wanted map[string]*target) {
	gone := 0
	for _, t := range slices.Backward(s.targets) {
		if t.stop != nil && !t.gone && wanted[t.id.Instance] != t {
			t.stop()
			t.gone = true
			s.metrics.targets.Dec()
			s.values -= t.values
			s.metrics.values.Sub(float64(t.values))
			t.values = 0
		}
		if t.gone {
			gone++
		}
	}
	old := s.clock().Add(-Kept).UnixMilli()
	s.targets = slices.DeleteFunc(s.targets, func(t *target) bool {
		if !t.gone || wanted[t.id.Instance] == t || gone <= maxGone && t.last() > old {
			return false
		}
		gone--
		return true
	})
}

// start begins to read a target.
func (s *Source) start(ctx context.Context, group *errgroup.Group, t *target) {
	ctx, t.stop = context.WithCancel(ctx)
	t.gone = false
	s.metrics.targets.Inc()
	if !slices.Contains(s.targets, t) {
		s.targets = append(s.targets, t)
	}
	group.Go(func() error {
		_ = s.follow(ctx, t) // until it is gone, or Run ends
		return nil
	})
}

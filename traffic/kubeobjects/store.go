// Package kubeobjects reads, watches and writes the objects in a cluster that the traffic of a rollout consists of, and
// reports who else has written them.
//
// The backends of traffic that write to Kubernetes share it, and nothing else imports it. It knows no kind of route: a
// backend brings its own kinds. It writes what Serin owns by server-side apply as the field manager "serin"; it changes
// users' objects by JSON patches that test what they replace. Start at [Store].
package kubeobjects

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/serindev/serin/internal/kubernetes"
)

// Manager is Serin's name among the field managers.
const Manager = "serin"

// The labels of what Serin owns.
const (
	ManagedLabel = "app.kubernetes.io/managed-by"
	RolloutLabel = "serin.dev/rollout"
)

// Store holds what one rollout has in the cluster: routes and what belongs to them in one namespace, and the Services
// of the arms in the same namespace or another. Its methods may be called from several goroutines.
type Store struct {
	rollout, namespace string
	arms               string // the namespace of the arms' Services
	kubernetes         kubernetes.Interface
	kinds              map[KindName]Kind
	knowledge          *Knowledge
}

// NewStore returns the store of a rollout. arms is the namespace of the arms' Services; empty: that of the routes.
// kinds are those of the backend; Services are always among them. It sends no request.
func NewStore(rollout, namespace, arms string, k kubernetes.Interface, kinds map[KindName]Kind, n *Knowledge) *Store {
	arms = cmp.Or(arms, namespace)
	s := &Store{
		rollout: rollout, namespace: namespace, arms: arms, kubernetes: k, knowledge: n, kinds: map[KindName]Kind{Services: servicesOf(arms, k)},
	}
	maps.Copy(s.kinds, kinds)
	return s
}

// home is the namespace of the objects of a kind.
func (s *Store) home(kind KindName) string {
	if kind == Services || kind == endpoints {
		return s.arms
	}
	return s.namespace
}

// Live reads from the API server, for writes.
func (s *Store) Live() Source { return &live{s} }

// Known reads what watches have reported, or else from the API server, for observations.
func (s *Store) Known() Source { return &known{live{s}} }

// Read returns the objects of all keys that exist, read at about the same time. With an error it returns those that
// could be read, which may be enough to go back to stable.
func (s *Store) Read(ctx context.Context, in Source, keys []Key) (map[Key]*Stored, error) {
	out := map[Key]*Stored{}
	var group errgroup.Group
	var mu sync.Mutex // guards out
	for _, k := range keys {
		group.Go(func() error {
			o, err := in.Object(ctx, k)
			if o != nil {
				mu.Lock()
				out[k] = o
				mu.Unlock()
			}
			return err
		})
	}
	return out, group.Wait()
}

// conflicts says how a write that had a conflict is tried again: for about two seconds, although the other writer
// usually finishes within a few milliseconds.
var conflicts = wait.Backoff{Steps: 12, Duration: 5 * time.Millisecond, Factor: 1.5, Jitter: 1}

// Retry calls write again, for about two seconds or until ctx ends, while it returns [ErrConflict] or one of the errors
// in also.
func Retry(ctx context.Context, write func() error, also ...error) error {
	return retry.OnError(conflicts, func(err error) bool {
		return ctx.Err() == nil && (errors.Is(err, ErrConflict) || slices.ContainsFunc(also, func(e error) bool { return errors.Is(err, e) }))
	}, write)
}

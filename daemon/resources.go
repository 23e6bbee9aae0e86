package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/resource/kube"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	rights "github.com/serindev/serin/server/kube"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/workload"
)

// resources are rollouts and analyses that are custom resources, as package config wants them.
type resources struct{ *kube.Cluster }

var _ config.Cluster = (*resources)(nil)

// newResources is nil for a daemon that reads none.
func newResources(o Options, m mandate) (*resources, error) {
	if o.Spec.Kubernetes == nil || o.Spec.Kubernetes.Resources == nil {
		return nil, nil //nolint:nilnil // it is as it says
	}
	c, err := needCluster(o)
	if err != nil {
		return nil, err
	}
	of := kube.Config{REST: c, Log: o.Log}
	for _, namespace := range o.Spec.Kubernetes.Resources.Namespaces {
		of.Namespaces = append(of.Namespaces, string(namespace))
	}
	if m != nil {
		of.Leads = m.Leads
	}
	k, err := kube.New(of)
	if err != nil {
		return nil, err
	}
	return &resources{k}, nil
}

// Documents implements [config.Cluster].
func (r *resources) Documents() ([]config.Object, bool) {
	documents, known := r.Cluster.Documents()
	out := make([]config.Object, len(documents))
	for i, d := range documents {
		out[i] = object(d)
	}
	return out, known
}

// loaded tells what was made of the objects.
func (r *resources) loaded(set *config.Set) {
	problems := map[string][]resource.Problem{}
	for _, e := range set.Errors {
		problems[e.File] = append(problems[e.File], resource.Problem{Path: fieldPath(e.Path), Message: e.Message})
	}
	all := make(map[kube.ID]kube.Loaded, len(set.Objects))
	for id, generation := range set.Objects {
		all[kube.ID(id)] = kube.Loaded{Generation: generation, Problems: problems[id.String()]}
	}
	r.Cluster.Loaded(all)
}

// fieldPath is the path of a field as kubectl has it: from the object on.
func fieldPath(path string) string {
	if path == "" || strings.HasPrefix(path, "metadata") || strings.HasPrefix(path, "spec") {
		return path
	}
	return "spec." + path
}

// shown is an engine whose Start returns once the object's status is about the release. A caller who waits then for the condition
// Released (kubectl wait) is not answered with the release before.
type shown struct {
	*engine.Engine
	objects *resources
}

// shownTimeout bounds that: a release does not depend on what is shown of it.
const shownTimeout = 3 * time.Second

// Start implements [server.Engine].
func (s shown) Start(ctx context.Context, name string, req rollout.StartRequest, supersede bool) (record.Release, error) {
	r, err := s.Engine.Start(ctx, name, req, supersede)
	if err == nil && r.Version > 0 { // 0: it waits for the one before, which is shown
		waiting, cancel := context.WithTimeout(ctx, shownTimeout)
		defer cancel()
		s.objects.AwaitRelease(waiting, name, r.ID)
	}
	return r, err
}

// asShown is the engine for those who start releases.
func asShown(e *engine.Engine, objects *resources) server.Engine {
	if objects == nil {
		return e
	}
	return shown{e, objects}
}

// reporter keeps the statuses of the objects.
func (r *resources) reporter(e *engine.Engine, s *store.Store, k *cluster) func(context.Context) error {
	sources := kube.Sources{
		Engine: e,
		Past: func(ctx context.Context, rollout string) ([]record.Past, error) {
			return s.History(ctx, record.Filter{Rollout: rollout, Limit: shownReleases})
		},
		Images: func(ctx context.Context, d workload.Name) resource.Images {
			first, all, err := k.Images(ctx, d)
			if err != nil {
				return resource.Images{} // the release says what it misses
			}
			return resource.Images{First: first, All: all}
		},
	}
	return func(ctx context.Context) error { return r.Report(ctx, sources) }
}

// shownReleases are those that a status is made of: the last five that have ended, and the one under way.
const shownReleases = 6

// Requests per second for the rights of callers. Answers are remembered for some seconds.
const (
	rightsQPS   = 1000
	rightsBurst = 2000
)

// newAuthenticator takes the cluster's tokens; it is nil for a daemon that takes none.
func newAuthenticator(o Options) (server.Authenticator, error) {
	if o.Spec.Auth == nil || o.Spec.Auth.Kubernetes == nil {
		return nil, nil //nolint:nilnil // it is as it says
	}
	c, err := needCluster(o)
	if err != nil {
		return nil, fmt.Errorf("auth.kubernetes: %w", err)
	}
	// A page of a thousand rollouts asks about each of them, where a caller has rights by name alone.
	c.QPS, c.Burst = rightsQPS, rightsBurst
	return rights.New(rights.Config{REST: c, Audiences: o.Spec.Auth.Kubernetes.Audiences})
}

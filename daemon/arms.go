package daemon

import (
	"context"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/workload"
)

// withArms is an engine whose views say what both arms run in the cluster. The images come from the caches that the releases
// use themselves.
type withArms struct {
	server.Engine

	images func(ctx context.Context, n workload.Name) (first string, all map[string]string, err error)
}

// armsTimeout bounds how long the views of one answer wait for a cache that is not filled yet.
const armsTimeout = 500 * time.Millisecond

// showArms is the engine for those who look, with a cluster or without.
func showArms(e server.Engine, k *cluster) server.Engine {
	if k == nil {
		return e
	}
	return withArms{e, k.Images}
}

// Rollouts implements [server.Engine]. At rest the arms are shown of a single rollout only.
func (w withArms) Rollouts() []record.View {
	ctx, cancel := context.WithTimeout(context.Background(), armsTimeout)
	defer cancel()
	views := w.Engine.Rollouts()
	for i := range views {
		if v := &views[i]; v.Release != nil && !v.State.Ended() {
			w.fill(ctx, v)
		}
	}
	return views
}

// Rollout implements [server.Engine].
func (w withArms) Rollout(name string) (record.View, error) {
	ctx, cancel := context.WithTimeout(context.Background(), armsTimeout)
	defer cancel()
	v, err := w.Engine.Rollout(name)
	if err == nil {
		w.fill(ctx, &v)
	}
	return v, err
}

// Release implements [server.Engine]. What runs now says nothing of a release that is over.
func (w withArms) Release(ctx context.Context, id string) (record.View, error) {
	v, err := w.Engine.Release(ctx, id)
	if err == nil && !v.State.Ended() {
		ctx, cancel := context.WithTimeout(ctx, armsTimeout)
		defer cancel()
		w.fill(ctx, &v)
	}
	return v, err
}

func (w withArms) fill(ctx context.Context, v *record.View) {
	if v.Definition == nil || v.Definition.Cluster == nil {
		return
	}
	arms := v.Definition.Cluster.Arms
	v.Arms = &record.Arms{Stable: w.running(ctx, arms.Stable.Deployment), Canary: w.running(ctx, arms.Canary.Deployment)}
}

// running is what a workload runs. A cluster that does not answer leaves it open: the release says what it misses.
func (w withArms) running(ctx context.Context, n workload.Name) record.Running {
	first, all, err := w.images(ctx, n)
	r := record.Running{Workload: n}
	if err == nil {
		r.Image = first
		if len(all) > 1 {
			r.Images = all
		}
	}
	return r
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
	"github.com/serindev/serin/workload"
)

// Workloads brings Deployments and Jobs to where a release needs them.
type Workloads interface {
	// Apply does as much of t as is possible now, and returns the progress of each Deployment. It is idempotent. An
	// error means that the cluster could not be reached, or refused; it names verb, kind and object.
	Apply(ctx context.Context, t workload.Target) (workload.Observed, error)
	// Run creates j unless it exists, and returns its progress.
	Run(ctx context.Context, j workload.Job) (workload.Status, error)
	// Version is the version in the pods of a Deployment: its pod template's label app.kubernetes.io/version, or else
	// the tag of its first container's image.
	Version(ctx context.Context, d workload.Name) (string, error)
	// Template returns the pod template of a Deployment, and whether it is new; Seen records that a release was started
	// for it.
	Template(ctx context.Context, d workload.Name) (workload.Template, error)
	Seen(ctx context.Context, d workload.Name, hash string) error
	// Tell writes an event that `kubectl describe` shows for the existing Deployments of a release. Nothing depends on
	// it, so an error is only logged.
	Tell(ctx context.Context, release string, deployments []workload.Name, n workload.Notice)
	// Watch calls changed, without blocking, with the Deployments among those queried that may have changed, until ctx ends.
	// A name without a Name stands for everything in its namespace.
	Watch(ctx context.Context, changed func([]workload.Name))
}

// How often Deployments are queried while they change, and while all is well. A watch makes most of these queries sooner.
const (
	workSoon    = time.Second
	workCalm    = 10 * time.Second
	workTimeout = 30 * time.Second
	// tellTimeout bounds writing a notice.
	tellTimeout = 5 * time.Second
)

// ErrNoCluster is the error of a release on Kubernetes in a daemon without a cluster.
var ErrNoCluster = errors.New("this daemon is not connected to a cluster: see kubernetes in its configuration")

// work is what a loop knows about its Deployments.
type work struct {
	asked    *workload.Target
	busy     bool
	at       time.Time // when to ask again
	observed workload.Observed
	left     string // an ended release with nothing left to do
}

// readyPods is when the canary's pods became ready; nil where that is not known.
func (w *work) readyPods(c *rollout.Cluster) []time.Time {
	if c == nil {
		return nil
	}
	for _, s := range w.observed.Deployments {
		if s.Name == c.Arms.Canary.Deployment {
			return s.Ready
		}
	}
	return nil
}

// hasWork reports whether there is any target for Deployments.
func (l *loop) hasWork() bool {
	_, _, ok := l.workTarget()
	return ok && l.e.o.Workloads != nil
}

// workTarget returns the current target of the Deployments, and its number.
func (l *loop) workTarget() (workload.Target, int, bool) {
	if r := l.rel; r != nil && r.plan.Rollout.Cluster != nil {
		t := r.now().Target(&r.plan.Rollout, r.record.ID)
		w := t.Workloads
		switch {
		case !r.state.Ended():
			return w, t.Work, w.Copied || len(w.Deployments)+len(w.Stop) > 0
		case (w.Forget || len(w.Stop) > 0) && l.work.left != r.record.ID:
			return w, t.Work, true
		}
	}
	t, ok := l.copyTarget()
	return t, 0, ok
}

// leftTarget is the work that an ended release leaves.
func (l *loop) leftTarget() (workload.Target, bool) {
	w, _, ok := l.workTarget()
	return w, ok && w.Release != ""
}

// deploy starts to bring the Deployments to the target, alongside everything else the loop does: a slow cluster must not
// keep traffic from going back.
func (l *loop) deploy(ctx context.Context) {
	want, n, ok := l.workTarget()
	if !ok {
		l.work.asked, l.work.observed = nil, workload.Observed{}
		delete(l.trouble, aboutCluster)
		return
	}
	if l.e.o.Workloads == nil {
		l.note(aboutCluster, ErrNoCluster)
		return
	}
	same := l.work.asked != nil && reflect.DeepEqual(*l.work.asked, want)
	if l.old.orders(want) {
		l.work.at = time.Now().Add(workSoon)
		return
	}
	if l.work.busy || same && time.Now().Before(l.work.at) {
		return
	}
	l.work.asked, l.work.busy = &want, true
	l.alongside(func() {
		observed, err := l.e.applyWork(ctx, want)
		if ctx.Err() == nil {
			l.send(func(ctx context.Context) { l.deployed(ctx, n, want, observed, err) })
		}
	})
}

// leave finishes the work that an ended release leaves, alongside the next release.
func (l *loop) leave(ctx context.Context) {
	want, ok := l.leftTarget()
	if !ok || l.e.o.Workloads == nil {
		return
	}
	l.alongside(func() {
		tick := time.NewTicker(workSoon)
		defer tick.Stop()
		for {
			asking, cancel := context.WithTimeout(ctx, workTimeout)
			_, err := l.e.o.Workloads.Apply(asking, want)
			cancel()
			if err == nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// deployed handles a report on the progress of the Deployments.
func (l *loop) deployed(ctx context.Context, n int, want workload.Target, observed workload.Observed, err error) {
	l.work.busy, l.work.at = false, time.Now().Add(workSoon)
	if l.note(aboutCluster, err) {
		return
	}
	l.work.observed = observed
	if now, _, ok := l.workTarget(); !ok || !reflect.DeepEqual(now, want) {
		l.work.at = time.Time{} // stale: the target has changed since
		return
	}
	switch {
	case want.Release == "":
		l.rested(observed)
		return
	case l.rel.state.Ended():
		l.work.left = want.Release
		return
	}
	phase, why := observed.Phase()
	if phase == workload.Ready {
		l.work.at = time.Now().Add(workCalm)
	}
	r := l.running()
	if r == nil || r.back != nil || len(want.Deployments) == 0 {
		return
	}
	l.changedByOthers(ctx, r, observed)
	switch s := r.state; {
	case n != s.Work:
	case phase == workload.Ready && !s.WorkReady:
		_, _ = l.append(ctx, r.event(rollout.DeploymentReady{Work: n}, "cluster"))
	case phase == workload.Failed && len(s.WorkFailed) == 0:
		_, _ = l.append(ctx, r.event(rollout.DeploymentFailed{Work: n, Why: few(why)}, "cluster"))
	}
}

// tell writes an event to the Deployments of both arms, alongside everything else the loop does.
func (l *loop) tell(ctx context.Context, before, after rollout.State, event rollout.Event) {
	c := l.rel.plan.Rollout.Cluster
	if c == nil || l.e.o.Workloads == nil {
		return
	}
	n, ok := tell.Notice(before, after, &l.rel.plan.Rollout, event)
	if !ok {
		return
	}
	release := l.rel.record.ID
	go func() {
		telling, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		l.e.o.Workloads.Tell(telling, release, []workload.Name{c.Arms.Stable.Deployment, c.Arms.Canary.Deployment}, n)
		if l.e.o.Notice != nil {
			l.e.o.Notice(telling, l.name, release, n)
		}
	}()
}

// changedByOthers records external changes that were reverted.
func (l *loop) changedByOthers(ctx context.Context, r *release, observed workload.Observed) {
	var what []string
	for _, s := range observed.Deployments {
		for _, c := range s.Changed {
			what = append(what, s.Name.String()+": "+c)
		}
	}
	if len(what) == 0 {
		return
	}
	l.e.metrics.drifted(l.name)
	_, _ = l.append(ctx, r.event(rollout.Drifted{What: few(what)}, "cluster"))
}

// runJob runs a Job to its end and returns the event of its outcome. If the cluster does not answer, it tries again;
// the state machine limits for how long.
func (l *loop) runJob(ctx context.Context, t rollout.Task) rollout.Event {
	if t.Job.Unfilled != "" {
		return rollout.JobFailed{Step: t.Step, Why: t.Job.Unfilled}
	}
	tick := time.NewTicker(workSoon)
	defer tick.Stop()
	for {
		status, err := l.askJob(ctx, *t.Job)
		l.send(func(context.Context) { l.note(aboutJob, err) })
		switch {
		case err != nil:
		case status.Phase == workload.Ready:
			return rollout.JobSucceeded{Step: t.Step, Log: status.Log}
		case status.Phase == workload.Failed:
			return rollout.JobFailed{Step: t.Step, Why: status.Why, Log: status.Log}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (l *loop) askJob(ctx context.Context, j workload.Job) (workload.Status, error) {
	if l.e.o.Workloads == nil {
		return workload.Status{}, ErrNoCluster
	}
	asking, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	status, err := l.e.o.Workloads.Run(asking, j)
	if err != nil {
		return status, fmt.Errorf("run job %s: %w", j.Key, err)
	}
	return status, nil
}

// nameWorkloads adds what only the cluster knows about the arms: their version, if a metric uses it, and a pattern for
// the names of their pods.
func (e *Engine) nameWorkloads(ctx context.Context, arms *analysis.Arms, def analysis.Definition, c *rollout.Cluster, promoted bool) error {
	if c == nil {
		return nil
	}
	canary := c.Arms.Canary.Deployment
	if promoted {
		canary = c.Arms.Stable.Deployment // which has the new version's pods
	}
	asks := slices.Contains(def.Variables(), "version")
	for _, arm := range []struct {
		names *analysis.Names
		of    workload.Name
	}{{&arms.Canary, canary}, {&arms.Baseline, c.Arms.Stable.Deployment}} {
		arm.names.Patterns = map[string]string{"pods": arm.of.Pods()}
		if _, own := arm.names.Vars["version"]; own || !asks {
			continue
		}
		if e.o.Workloads == nil {
			return ErrNoCluster
		}
		version, err := e.o.Workloads.Version(ctx, arm.of)
		if err != nil {
			return fmt.Errorf("version of Deployment %s: %w", arm.of, err)
		}
		arm.names.Vars["version"] = []string{version}
	}
	return nil
}

// clusterChanged makes the loops that depend on these Deployments query theirs now.
func (e *Engine) clusterChanged(names []workload.Name) {
	changed := make(map[workload.Name]bool, len(names))
	for _, n := range names {
		changed[n] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.loops {
		if l.quiet.Load() {
			continue // it queries what it needs when a release begins
		}
		if on := l.dependsOn.Load(); on == nil || slices.ContainsFunc(*on, func(n workload.Name) bool {
			return changed[n] || changed[workload.Name{Namespace: n.Namespace}]
		}) {
			l.send(func(context.Context) { l.work.at, l.old.at, l.triggers.at = time.Time{}, time.Time{}, time.Time{} })
		}
	}
}

// depends notes the Deployments whose changes this loop must be notified of.
func (l *loop) depends() {
	var on []workload.Name
	add := func(names ...workload.Name) {
		for _, n := range names {
			if n.Name != "" && !slices.Contains(on, n) {
				on = append(on, n)
			}
		}
	}
	arms := func(c *rollout.Cluster) {
		if c != nil {
			add(c.Arms.Stable.Deployment, c.Arms.Canary.Deployment)
			add(c.Triggers...)
		}
	}
	if l.plan != nil {
		arms(l.plan.Rollout.Cluster)
	}
	if r := l.running(); r != nil {
		arms(r.plan.Rollout.Cluster)
	}
	if asked := l.work.asked; asked != nil {
		for i := range asked.Deployments {
			add(asked.Deployments[i].Name)
		}
	}
	if asked := l.old.asked; asked != nil && !l.oldGone() {
		add(asked.Arms.Stable.Deployment, asked.Arms.Canary.Deployment)
	}
	if before := l.dependsOn.Load(); before == nil || !slices.Equal(*before, on) {
		l.dependsOn.Store(&on)
	}
}

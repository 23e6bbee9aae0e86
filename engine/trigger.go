package engine

import (
	"context"
	"errors"
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// triggerEvery is how often Deployments that start releases are queried without a reason. A watch reports every reason.
const triggerEvery = time.Minute

// triggered is the author of a release that a new pod template starts.
const triggered = "trigger"

// triggers is the state of the Deployments that start a loop's releases.
type triggers struct {
	busy bool
	at   time.Time
	// begun is the template of each Deployment for which a release was last started. The Deployment records it too, but
	// even if that write fails, the template must not start another release.
	begun map[workload.Name]string
}

// triggered reports whether Deployments currently start releases of this rollout.
func (l *loop) triggered() bool {
	return l.plan != nil && l.plan.Rollout.Cluster != nil && l.e.o.Workloads != nil && len(l.plan.Rollout.Cluster.Triggers) > 0 &&
		l.stands() == nil // if a Deployment is not copied yet, its current template is what gets copied
}

// trigger checks, alongside everything else, whether a pod template is new, and starts a release of it.
func (l *loop) trigger(ctx context.Context) {
	if !l.triggered() || l.triggers.busy || time.Now().Before(l.triggers.at) {
		return
	}
	names := l.plan.Rollout.Cluster.Triggers
	l.triggers.busy = true
	l.alongside(func() {
		asking, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		for _, name := range names {
			t, err := l.e.o.Workloads.Template(asking, name)
			if ctx.Err() == nil {
				l.send(func(ctx context.Context) { l.templateSeen(ctx, name, t, err) })
			}
		}
		if ctx.Err() == nil {
			l.send(func(context.Context) { l.triggers.busy, l.triggers.at = false, time.Now().Add(triggerEvery) })
		}
	})
}

// triggerKey is a key for a release of a template. It differs from that of a release that has ended, or that ends
// because its template was removed: a template that comes back after another one starts a release again.
func (l *loop) triggerKey(ctx context.Context, template string) (string, error) {
	key := template
	for {
		r, err := l.byKey(ctx, key)
		switch {
		case errors.Is(err, record.ErrNotFound):
			return key, nil
		case err != nil:
			return "", err
		case r.Phase != rollout.PhaseEnded && !l.takenBack(r.ID):
			return key, nil
		}
		key = template + "/" + r.ID
	}
}

// takenBack reports whether a release goes back because its template was removed: if the template comes back, that is
// another release, which begins once this one has ended.
func (l *loop) takenBack(id string) bool {
	r := l.running()
	return r != nil && r.record.ID == id && r.state.Phase == rollout.RollingBack && r.state.WhyBy == triggered
}

// templateSeen starts a release of a new template. It supersedes a release under way, whose traffic goes to stable first.
// The key makes sure that a template starts one release, however often it is seen.
func (l *loop) templateSeen(ctx context.Context, name workload.Name, t workload.Template, err error) {
	if l.note(aboutTrigger, err) || !t.New || l.plan == nil {
		return
	}
	nothing := t.InService && l.inServiceAgain(ctx, name)
	if nothing {
		delete(l.triggers.begun, name) // the previous one may come again, and is then released again
	}
	if !nothing && l.triggers.begun[name] != t.Hash && !l.startOf(ctx, name, t) {
		return
	}
	l.alongside(func() {
		asking, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		err := l.e.o.Workloads.Seen(asking, name, t.Hash)
		l.send(func(context.Context) { l.note(aboutTrigger, err) })
	})
}

// startOf starts a release of a template; it returns false if that is impossible.
func (l *loop) startOf(ctx context.Context, name workload.Name, t workload.Template) bool {
	key, err := l.triggerKey(ctx, "template/"+name.String()+"/"+t.Hash)
	if l.note(aboutTrigger, err) {
		return false
	}
	req := rollout.StartRequest{
		Key: key, Parameters: l.plan.Rollout.ParametersOf(name, t.Images), By: triggered,
	}
	r, err := l.start(ctx, req, true)
	if l.note(aboutTrigger, err) {
		return false
	}
	if l.triggers.begun == nil {
		l.triggers.begun = map[workload.Name]string{}
	}
	l.triggers.begun[name] = t.Hash
	l.log.Info("a new pod template starts a release", "deployment", name, "release", r.ID)
	return true
}

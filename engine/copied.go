package engine

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// copyCalm is how often stable's copy of a Deployment is checked between releases without a reason. A watch reports
// every reason.
const copyCalm = 5 * time.Minute

// copied is what a loop knows, between releases, about a rollout with one Deployment in Git.
type copied struct {
	// of is the target to which the other fields refer.
	of workload.Target
	// ready: stable's copy can take all traffic or, if Serin is being removed, the Deployment in Git can.
	ready bool
	why   error // why not
	// left: the Deployment in Git has the traffic again, and there is nothing more to do.
	left bool
}

// copies is the part of the rollout that makes stable a copy; nil if it is none.
func (l *loop) copies() *rollout.Cluster {
	if l.plan == nil || l.plan.Rollout.Cluster == nil || !l.plan.Rollout.Cluster.Copied {
		return nil
	}
	return l.plan.Rollout.Cluster
}

// copyTarget is the target of the Deployments between releases.
func (l *loop) copyTarget() (workload.Target, bool) {
	if l.copies() == nil || !l.ready || l.running() != nil || l.waits() || l.copied.left {
		return workload.Target{}, false
	}
	return l.plan.Rollout.AtRest()
}

// forgetCopy drops the state if it is about another target.
func (l *loop) forgetCopy() {
	want, ok := workload.Target{}, false
	if l.copies() != nil {
		want, ok = l.plan.Rollout.AtRest()
	}
	if !ok || !reflect.DeepEqual(want, l.copied.of) {
		l.copied = copied{of: want}
		delete(l.trouble, aboutCopy)
	}
}

// rested handles the progress of the Deployments between releases.
func (l *loop) rested(observed workload.Observed) {
	phase, why := observed.Phase()
	if phase == workload.Failed {
		l.work.at = time.Now().Add(workCalm)
	}
	if phase == workload.Ready {
		l.copied.ready, l.copied.why = true, nil
		l.work.at = time.Now().Add(copyCalm)
		l.note(aboutCopy, lasting(observed))
		return
	}
	what := "stable is a copy that is not ready yet"
	if l.plan.Rollout.Cluster.Leave {
		what = "the traffic cannot go back to the Deployment in Git yet"
	}
	l.copied.why = fmt.Errorf("%s: %s", what, strings.Join(few(why), "; "))
	l.note(aboutCopy, l.copied.why)
}

// lasting is a fault of Deployments that are ready nevertheless: their pods could not be started again.
func lasting(observed workload.Observed) error {
	for _, s := range observed.Deployments {
		if s.Phase == workload.Ready && s.Why != "" {
			return fmt.Errorf("%s: %s", s.Name, s.Why)
		}
	}
	return nil
}

// stands returns the reason why no release of a rollout with one Deployment in Git can start: the version to which it
// would go back is not in service yet, or no longer.
func (l *loop) stands() error {
	c := l.copies()
	switch {
	case c == nil || l.running() != nil:
		return nil
	case c.Leave:
		return fmt.Errorf("%w: the rollout says leave, so Deployment %s is what users get", rollout.ErrNotAllowed, c.Arms.Canary.Deployment)
	case l.copied.why != nil && !l.copied.ready:
		return fmt.Errorf("%w: %w", rollout.ErrNotAllowed, l.copied.why)
	case !l.copied.ready:
		return fmt.Errorf("%w: stable's copy, %s, has not been seen yet: try again in a moment", rollout.ErrNotAllowed, c.Arms.Stable.Deployment)
	}
	return nil
}

// atRestTraffic is the target of traffic between releases; ok is false if the traffic stays as it is.
func (l *loop) atRestTraffic() (t traffic.Target, ok bool) {
	d, c := &l.plan.Rollout, l.copies()
	switch {
	case c != nil && c.Leave:
		return d.Left(), l.copied.ready && !l.copied.left
	case c != nil:
		return d.Idle(l.swapped), l.copied.ready
	}
	return d.Idle(l.swapped), true
}

// leaves notices that the traffic is back on the Deployment in Git: from here on everything of Serin may be deleted.
func (l *loop) leaves() {
	c := l.copies()
	if c == nil || !c.Leave || !l.copied.ready || !l.gw.holds(l.plan.Rollout.Left()) || !l.gw.seen {
		return
	}
	if l.gw.confirmed == traffic.InForce || l.gw.confirmed == traffic.Unconfirmed && l.plan.Rollout.Verify.Trust {
		l.copied.left = true
		l.log.Info("the traffic is back on the Deployment in Git", "deployment", c.Arms.Canary.Deployment)
	}
}

// inServiceAgain sends a release back once the Deployment in Git equals the version in service, which leaves nothing to
// release. It reports whether there is nothing to start.
func (l *loop) inServiceAgain(ctx context.Context, name workload.Name) bool {
	r := l.running()
	if r == nil {
		return true
	}
	if r.back != nil || r.state.Phase != rollout.Active || r.state.Promoting() {
		return r.back != nil || r.state.Phase != rollout.Active // it goes back anyway, or a promotion ends first
	}
	_, err := l.append(ctx, r.event(rollout.RollbackRequested{Reason: "Deployment " + name.Name + " is again what is in service"}, triggered))
	return err == nil
}

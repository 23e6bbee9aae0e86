package rollout

import (
	"fmt"
	"slices"
)

// Before is the release that brought what was in service before the last one.
type Before struct {
	ID         string
	Definition Definition
}

// Undoing is the definition of a release of d that takes the last version out of service again: only the steps that bring
// the previous version back, at once and without comparing it. before is nil if that version is not known; without a
// cluster it is not needed, since the other set of servers still has it, and in a cluster stable's Deployment remembers the
// pod template that release last replaced. The error wraps [ErrNotAllowed] and says why Serin cannot undo the release.
func (d *Definition) Undoing(last string, before *Before) (Definition, error) {
	out := *d
	part := func(s Step) bool { return s.undoes(d) }
	if d.Cluster == nil {
		out.Steps = slices.DeleteFunc(slices.Clone(d.Steps), func(s Step) bool { return !part(s) })
		return out, nil
	}
	promote := d.Steps[slices.IndexFunc(d.Steps, promotes)].(Promote)
	// back is what stable's Deployment remembers itself. The canary's stays as it is, without traffic.
	back := func() Definition {
		promote.Previous = last
		out.Steps = []Step{promote}
		return out
	}
	switch {
	case promote.Strategy == AwaitStable:
		return out, fmt.Errorf("%w: in this rollout another system, such as Git, brings stable's Deployment to "+
			"a version: undo it there", ErrNotAllowed)
	case d.Cluster.Old != nil:
		return d.undoingToOld(last, promote), nil
	case d.Cluster.Copied, before == nil:
		return back(), nil // Git has the canary's Deployment, or no release has said what was in service
	case before.Definition.Cluster == nil || before.Definition.Cluster.Arms != d.Cluster.Arms:
		return out, fmt.Errorf("%w: the Deployments of the rollout differ from those of release %s", ErrNotAllowed, before.ID)
	}
	// The earlier definition says what was deployed then: the current one may name the images that have to go.
	out.Steps = nil
	for _, s := range before.Definition.Steps {
		switch {
		case promotes(s):
			out.Steps = append(out.Steps, promote)
		case part(s):
			out.Steps = append(out.Steps, s)
		}
	}
	if len(out.Steps) < 2 { // a trigger, and no step, brought the version to the canary
		return back(), nil
	}
	return out, nil
}

func promotes(s Step) bool {
	_, ok := s.(Promote)
	return ok
}

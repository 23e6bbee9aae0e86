package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Attempt is a release that ended without its version in service.
type Attempt struct {
	ID         string
	Definition Definition
	State      State
}

// Retrying returns the job steps of d that a release which repeats a failed one does not run again. Everything else is done
// again: traffic and Deployments went back with the failed release, and the person who answers a gate needs evidence of this one.
//
// A Job is not run again if it succeeded, has the same declaration, and came before everything that the rollback undid,
// and if no earlier Job or webhook is run again, which might undo its work. The release must also name its version by a
// parameter (with one Deployment in Git, the pod template is the version), and must have gone back without steps of the
// user's own: otherwise the Job's work may no longer exist.
//
// The error wraps [ErrNotAllowed] and says why there is nothing to repeat.
func (d *Definition) Retrying(f Attempt) (done []string, err error) {
	switch s := f.State; {
	case !s.Ended():
		return nil, fmt.Errorf("%w: release %s has not ended", ErrNotAllowed, f.ID)
	case s.Outcome == Released:
		return nil, fmt.Errorf("%w: release %s has been released: there is nothing to try again", ErrNotAllowed, f.ID)
	case s.Undoes != "":
		return nil, fmt.Errorf("%w: release %s was to undo another one: ask for the undo again", ErrNotAllowed, f.ID)
	}
	if d.Cluster == nil || d.Cluster.Copied || Version(f.State.Parameters) == "" || f.State.Outcome == Failed ||
		len(f.Definition.Rollback.Steps) > 0 {
		return nil, nil
	}
	before := f.Definition.lasting()
	for _, job := range d.lasting() {
		same := slices.ContainsFunc(before, func(b Job) bool { return b.same(job) })
		if !same || !f.State.succeeded(&f.Definition, job.Name) {
			break
		}
		done = append(done, job.Name)
	}
	return done, nil
}

// lasting returns the Jobs before the first step that a rollback undoes.
func (d *Definition) lasting() (out []Job) {
	for _, step := range d.Steps {
		if step.goesBack(d) {
			return out
		}
		switch step := step.(type) {
		case Job:
			out = append(out, step)
		case Webhook:
			return out // it is called again, with unknown effects on the work of later Jobs
		default:
		}
	}
	return out
}

// same reports whether two steps run the same Job.
func (j Job) same(other Job) bool {
	a, err := json.Marshal(j)
	b, _ := json.Marshal(other) // nothing where that fails, which is like no Job
	return err == nil && string(a) == string(b)
}

// succeeded reports whether a Job has succeeded in this release, or in the one that it repeats.
func (s State) succeeded(d *Definition, name string) bool {
	i := slices.IndexFunc(d.Steps, func(step Step) bool { return step.StepName() == name })
	return i >= 0 && (i < s.Step || i == s.Step && (slices.Contains(s.Done, name) || s.Job != nil && s.Job.Why == ""))
}

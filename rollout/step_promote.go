package rollout

import (
	"fmt"
	"time"

	"github.com/serindev/serin/workload"
)

// Promote makes the canary stable.
type Promote struct {
	still

	Name     string   `json:"name"`
	Strategy Strategy `json:"strategy,omitempty"`
	// Whole takes over all of the canary's pod template, not its images only.
	Whole bool `json:"whole,omitempty"`
	// Previous is the release before which stable's Deployment had the version that it gets, from what it remembers itself
	// instead of from the canary; only in the undo of that release.
	Previous string `json:"previous,omitempty"`
	// Deadline until stable's Deployment is the new version; then Expired acts ([AwaitStable]; a patch goes back).
	Deadline time.Duration `json:"deadline,omitempty"`
	Expired  Policy        `json:"expired,omitempty"`
}

// Strategy is how a canary becomes stable.
type Strategy string

// The strategies.
const (
	// Exchange: the two sets of servers exchange their roles (without Kubernetes).
	Exchange Strategy = ""
	// Patch: stable's Deployment gets the canary's pod template, and the traffic back.
	Patch Strategy = "patch"
	// AwaitStable: another system (GitOps) brings stable's Deployment to the canary's images.
	AwaitStable Strategy = "wait"
)

// StepName implements [Step].
func (p Promote) StepName() string { return p.Name }

func (p Promote) check(c *checked) error {
	if c.promoted {
		return fmt.Errorf("%s: a second promote", c.at)
	}
	c.promoted = true
	if cluster := c.d.Cluster != nil; (p.Strategy != Exchange) != cluster {
		return fmt.Errorf("%s: strategy %q does not fit a rollout with cluster: %t", c.at, p.Strategy, cluster)
	}
	return nil
}

func (p Promote) enter(_ *Definition, e *StepEntered) {
	switch {
	case p.Strategy == Exchange:
		e.What = StagePromote
	case e.Stage == 1:
		e.What = StageReturn
	case e.Stage == 2:
		e.What = StageLeave
	case p.Strategy == AwaitStable:
		e.What = StageAwait
	default:
		e.What = StagePatch
	}
}

func (p Promote) next(s State, d *Definition, t *timer) Event {
	switch s.Doing {
	case StagePatch:
		if s.WorkReady {
			return s.enter(d, t, s.Step, 1)
		}
	case StageAwait:
		if s.WorkReady {
			return s.enter(d, t, s.Step, 1)
		}
		return s.passed(t, p.due(s))
	case StageReturn:
		if s.InForce && t.passed(s.forcedAt(s.drain(d))) {
			return s.enter(d, t, s.Step, 2)
		}
	case StageLeave:
		if s.Out && s.InForce && (s.WorkReady || d.Cluster.Kept || t.passed(s.StageAt.Add(d.Cluster.Deadline))) {
			return s.enter(d, t, s.Step+1, 0)
		}
	default: // the sets of servers exchange their roles
		if s.InForce && s.Stage == 0 {
			return s.enter(d, t, s.Step, 1)
		}
		if s.InForce {
			return s.enter(d, t, s.Step+1, 0)
		}
	}
	return nil
}

func (p Promote) holds(s State, d *Definition, t *timer) []Hold {
	needs := Wanted("")
	switch s.Doing {
	case StagePatch:
		return []Hold{NeedsPatch{s.StageAt.Add(p.Deadline).Sub(t.now)}}
	case StageAwait:
		return []Hold{NeedsOthers{p.due(s)}}
	case StageReturn:
		if s.InForce {
			return []Hold{Drains{s.forcedAt(s.drain(d)).Sub(t.now)}}
		}
		needs = WantNewStable
	case StageLeave:
		if s.Out && s.InForce {
			return []Hold{NeedsScaleDown{}}
		}
		needs = WantCanaryOut
	default:
		if needs = WantAllOnCanary; s.Stage == 1 {
			needs = WantExchange
		}
	}
	return []Hold{NeedsForce{needs}}
}

// due is the deadline for another system to bring stable to the new version.
func (p Promote) due(s State) Due { return Due{PromoteMax, s.decideFrom(), p.Deadline, p.Expired} }

func (p Promote) deployments(s State, d *Definition) []workload.Deployment {
	if s.Doing != StagePatch && s.Doing != StageAwait {
		return nil
	}
	arms := d.Cluster.Arms
	if p.Previous != "" {
		return []workload.Deployment{{Name: arms.Stable.Deployment, Previous: p.Previous, Whole: p.Whole || d.Cluster.Copied}}
	}
	return []workload.Deployment{{
		Name: arms.Stable.Deployment, From: &arms.Canary.Deployment, Whole: p.Whole, Watch: s.Doing == StageAwait,
	}}
}

func (p Promote) ready(s State) time.Duration {
	if s.Doing == StagePatch {
		return p.Deadline
	}
	return 0
}

func (Promote) undoes(*Definition) bool { return true }

func (Promote) goesBack(*Definition) bool { return true }

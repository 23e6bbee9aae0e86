package rollout

import (
	"fmt"
	"strings"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// Target is what the world has to look like in a state. It says nothing about how to get there.
type Target struct {
	// Turn identifies the target of traffic; observations name the turn that they are of.
	Turn    int
	Traffic traffic.Target
	// Analyse is the body of evidence that looks add to, that of what users are served; empty for none.
	Analyse string
	// Exposure is the canary's share among the requests that are analysed.
	Exposure share.Share
	// Before, if it is not 0, tells that the version on trial is the one in service, and that it is compared with what was in
	// service so long before, or longer.
	Before time.Duration
	// Lane is the one whose requests are compared.
	Lane traffic.Lane
	// Tasks may happen only once each.
	Tasks []Task
	// Workloads are the Deployments; empty without Kubernetes. Work identifies this target of them.
	Workloads workload.Target
	Work      int
}

// Task is a part of a target that may happen only once. The call or the Job carries Key, so that repeating it is
// harmless.
type Task struct {
	Key  string
	Step int
	// Webhook is called unless there is a Job to run.
	Webhook Webhook
	Job     *workload.Job
}

// Idle is the target of a rollout without a release: stable has all the traffic.
func (d *Definition) Idle(swapped bool) traffic.Target {
	t := traffic.Target{Stable: d.Stable, Canary: d.Canary, Guards: d.Guards, Out: d.Cluster != nil && d.Cluster.Split == nil}
	if swapped {
		t.Stable, t.Canary = d.Canary, d.Stable
	}
	return t
}

// Left is the target of a rollout that is being taken away: all traffic goes to the canary's Service, which leads to the
// Deployment that its users have in Git.
func (d *Definition) Left() traffic.Target {
	t := d.Idle(false)
	t.Out, t.Weight = false, 1
	return t
}

// Target is what the world has to look like in this state. id is the release's; the keys of tasks begin with it.
func (s State) Target(d *Definition, id string) Target {
	t := Target{Turn: s.Turn, Traffic: d.Idle(s.SwappedNow()), Workloads: s.workloads(d, id), Work: s.Work}
	switch s.Phase {
	case RollingBack:
		t.Traffic.Out = t.Traffic.Out && s.out()
		if s.Back == BackRestore {
			t.Traffic.Weight = s.Weight(d)
		}
		if s.Back == BackCleanup && s.putBack(d) {
			t.Tasks = s.rollbackTasks(d, id)
		}
		return t
	case PhaseEnded, "":
		return t
	case Active:
	}
	t.Traffic.Weight = s.Weight(d)
	t.Traffic.Out = t.Traffic.Out && s.out() || s.sparesSplit(d)
	if gray, ok := s.gray(d); ok && gray.Sticky && t.Traffic.Weight > 0 && t.Traffic.Weight < 1 {
		t.Traffic.Sticky = stickyWord(id, -1)
	}
	if s.CohortStep >= 0 {
		step := d.Steps[s.CohortStep].(AB)
		cohort := step.Cohort
		if step.Sticky {
			cohort.Sticky = stickyWord(id, s.CohortStep)
		}
		t.Traffic.Cohort = &cohort
	}
	if m, ok := s.mirror(d); ok {
		t.Traffic.Mirror = &m.Copies
	}
	t.Traffic.Preview = s.preview(d)
	if w, ok := d.watch(s.Scope); ok {
		t.Analyse, t.Exposure, t.Before = s.Scope, 1, s.before(w)
	} else {
		t.Analyse, t.Exposure, t.Lane = s.served().analysed(d)
	}
	t.Tasks = s.tasks(d, id)
	return t
}

// analysed is what looks are about.
func (s Served) analysed(d *Definition) (scope string, exposure share.Share, lane traffic.Lane) {
	m, copied := d.Steps.Mirror(s.Scope)
	switch {
	case s.Scope == "":
		return "", 0, traffic.MainLane
	case copied:
		return s.Scope, m.Copies.Exposure(), traffic.MirrorLane
	case s.CohortStep >= 0 && s.GrayStep < s.CohortStep:
		return s.Scope, d.Steps[s.CohortStep].(AB).Cohort.Split, traffic.CohortLane
	case s.GrayStep < 0:
		return s.Scope, 0, traffic.MainLane
	}
	return s.Scope, d.Steps[s.GrayStep].(Gray).Weights[s.GrayStage], traffic.MainLane
}

// gray is the step that gives the canary its weight on the main route.
func (s State) gray(d *Definition) (g Gray, ok bool) {
	if s.GrayStep < 0 {
		return Gray{}, false
	}
	g, ok = d.Steps[s.GrayStep].(Gray)
	return g, ok
}

// stickyWord is unique to each A/B step of each release, so that each step draws its users again, whatever arm an earlier
// one gave them. All gray steps of a release have one, as if they were a step before the first.
func stickyWord(id string, step int) string {
	const most = 10 // the end of a ULID is random
	return fmt.Sprintf("%s-%d", strings.ToLower(id[max(0, len(id)-most):]), step+1)
}

// out tells whether no traffic goes to the canary, and it need not be able to take any.
func (s State) out() bool {
	return s.Doing == StageLeave || !s.Moved && !s.Reached
}

// sparesSplit tells whether the canary may have pods although it has no share of the work: the first ones, until stable
// has given up that share, and during a promotion the last ones, until stable has all of its own again.
func (s State) sparesSplit(d *Definition) bool {
	return d.Cluster != nil && d.Cluster.Split != nil && (s.Worked && !s.Moved || s.Doing == StageReturn)
}

func (s State) tasks(d *Definition, id string) []Task {
	step := s.at(d)
	if step == nil || step.done(s) {
		return nil
	}
	task, ok := step.task(s, id+"/"+step.StepName())
	if !ok {
		return nil
	}
	task.Step = s.Step
	return []Task{task}
}

// Weight is the canary's share of the main route while the release is active.
func (s State) Weight(d *Definition) share.Share {
	switch {
	case s.Doing == StagePromote && !s.Exchanged:
		return 1
	case s.Doing == StagePromote, s.Doing == StageReturn, s.Doing == StageLeave, s.GrayStep < 0:
		return 0
	}
	return d.Steps[s.GrayStep].(Gray).Weights[s.GrayStage]
}

func (s State) rollbackTasks(d *Definition, id string) (out []Task) {
	for i, step := range d.Rollback.Steps {
		if task, ok := step.task(s, fmt.Sprintf("%s/rollback/%d", id, i)); ok {
			task.Step = i
			out = append(out, task)
		}
	}
	return out
}

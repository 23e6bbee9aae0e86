package rollout

import (
	"time"

	"github.com/serindev/serin/calendar"
	"github.com/serindev/serin/workload"
)

// Hold is one condition that keeps a release where it is. The release goes on when none is left: [State.Next] decides
// by the holds, and whatever tells people what a release waits for words the same values.
//
//sumtype:decl
type Hold interface{ hold() }

// The holds of analysed stages.
type (
	// NeedsForce: the target of traffic is not in force; Of names the target, and is empty for the step's own.
	NeedsForce struct{ Of Wanted }
	// NeedsTime: it has not been in force long enough; Left is the remaining time.
	NeedsTime struct{ Left time.Duration }
	// NeedsPass: the judge has not said pass, on enough data of this weight.
	NeedsPass struct{}
	// NeedsData: this weight has too little data, or none, to know whether anything speaks against the canary.
	NeedsData struct{}
	// Leans: the evidence leans towards worse.
	Leans struct{}
	// Alarmed: the observed split is not the weight in force, or what a metric counts contradicts it, and no human has
	// dismissed that.
	Alarmed struct{ Split, Exposures bool }
	// Contested: another writer keeps changing the gateway's configuration, which has to stay unchanged for Calm.
	Contested struct{ Calm time.Duration }
)

// The holds of people, of steps that compare nothing, and of promotion.
type (
	// NeedsWindow: the calendar of the release is closed.
	NeedsWindow struct{ calendar.Closed }
	// NeedsResume: a person has paused the release.
	NeedsResume struct{ By, Reason string }
	// NeedsBeginning: the first step is not entered yet.
	NeedsBeginning struct{}
	// NeedsDecision: a policy has asked people a question.
	NeedsDecision struct{ Question }
	// NeedsAnswer: a gate waits for its answer; Expires is nil for one that waits forever.
	NeedsAnswer struct {
		Gate    Gate
		Expires *Due
	}
	// NeedsCapacity: the canary is brought to its capacity before its traffic, within Left.
	NeedsCapacity struct{ Left time.Duration }
	// Elapses: the step lets time pass; Left is the rest of it.
	Elapses struct{ Left time.Duration }
	// Watches: only the watch after the promotion is left; Left is the rest of that.
	Watches struct{ Left time.Duration }
	// NeedsReply: a webhook has not answered.
	NeedsReply struct{}
	// NeedsEnd: a Job has not ended; it has Left for it.
	NeedsEnd struct{ Left time.Duration }
	// NeedsDeployment: a Deployment is not ready; it has Left for it.
	NeedsDeployment struct {
		Deployment workload.Name
		Left       time.Duration
	}
	// NeedsPatch: stable's Deployment is not ready with the canary's pod template; it has Left for it.
	NeedsPatch struct{ Left time.Duration }
	// NeedsOthers: another system brings stable to the new version.
	NeedsOthers struct{ Due }
	// Drains: traffic is on stable, and the canary has time to finish its requests.
	Drains struct{ Left time.Duration }
	// NeedsScaleDown: the canary is out of service, and still has its pods.
	NeedsScaleDown struct{}
)

// The holds of a release that goes back.
type (
	// NeedsRestore: stable's pod template is put back before the canary's traffic comes to it.
	NeedsRestore struct{}
	// NeedsPutBack: the Deployments are not what they were before; Why says what is in the way.
	NeedsPutBack struct{ Why []string }
	// NeedsCleanup: the rollout's own steps of going back are not done.
	NeedsCleanup struct{ Steps []string }
	// FailsAfter: the release counts as failed unless it is back within Left.
	FailsAfter struct{ Left time.Duration }
)

// Wanted names a target of traffic that is not the exposure of a step.
type Wanted string

// The targets.
const (
	WantStable      Wanted = "stable"       // all traffic on stable
	WantStableAgain Wanted = "stable again" // which it was before
	WantNewStable   Wanted = "new stable"   // all traffic on stable, which is the new version
	WantAllOnCanary Wanted = "canary"       // all traffic on the canary
	WantExchange    Wanted = "exchange"     // the canary's servers are stable
	WantCanaryOut   Wanted = "canary out"   // the weighted service without the canary
)

func (NeedsForce) hold()      {}
func (NeedsTime) hold()       {}
func (NeedsPass) hold()       {}
func (NeedsData) hold()       {}
func (Leans) hold()           {}
func (Alarmed) hold()         {}
func (Contested) hold()       {}
func (NeedsWindow) hold()     {}
func (NeedsResume) hold()     {}
func (NeedsBeginning) hold()  {}
func (NeedsDecision) hold()   {}
func (NeedsAnswer) hold()     {}
func (NeedsCapacity) hold()   {}
func (Elapses) hold()         {}
func (Watches) hold()         {}
func (NeedsReply) hold()      {}
func (NeedsEnd) hold()        {}
func (NeedsDeployment) hold() {}
func (NeedsPatch) hold()      {}
func (NeedsOthers) hold()     {}
func (Drains) hold()          {}
func (NeedsScaleDown) hold()  {}
func (NeedsRestore) hold()    {}
func (NeedsPutBack) hold()    {}
func (NeedsCleanup) hold()    {}
func (FailsAfter) hold()      {}

// Holds returns what keeps a release where it is at the given time; nothing before its start and after its end.
func (s State) Holds(d *Definition, now time.Time) []Hold {
	t := &timer{now: s.Clock(now)}
	switch {
	case s.Phase == RollingBack:
		return s.heldBack(d, t)
	case s.Phase != Active:
		return nil
	case s.Pause != nil:
		return []Hold{NeedsResume{s.Pause.By, s.Pause.Reason}}
	}
	closed, shut := s.shut(d, t)
	if s.Step < 0 && !shut {
		return []Hold{NeedsBeginning{}}
	}
	out := s.heldAt(d, t)
	if shut {
		out = append(out, NeedsWindow{closed})
	}
	return out
}

// heldAt returns the holds of the current step of an active release.
func (s State) heldAt(d *Definition, t *timer) (out []Hold) {
	if s.Question != nil {
		out = append(out, NeedsDecision{*s.Question})
	}
	step := s.at(d)
	switch {
	case s.Pending != nil && s.WorkReady:
		return out
	case s.Pending != nil:
		return append(out, NeedsCapacity{s.capacityBy(d).Sub(t.now)})
	case step == nil:
		return out
	}
	own := step.holds(s, d, t)
	if len(own) == 0 && len(step.stages()) == 0 {
		own = s.heldAfter(d)
	}
	return append(out, own...)
}

// heldAfter returns the holds of a step whose own work is done.
func (s State) heldAfter(d *Definition) []Hold {
	switch last := s.Step+1 == len(d.Steps); {
	case s.leansBefore(d):
		return []Hold{Leans{}}
	case last && !s.InForce && d.Cluster != nil:
		return []Hold{NeedsForce{WantCanaryOut}}
	case last && !s.InForce:
		return []Hold{NeedsForce{WantExchange}}
	}
	return nil
}

// capacityBy is when the canary must have its capacity, in release time.
func (s State) capacityBy(d *Definition) time.Time {
	if d.Cluster == nil {
		return s.StageAt
	}
	return s.StageAt.Add(d.Cluster.Deadline)
}

// held returns the holds of an analysed stage.
func (s State) held(t *timer, stage Stage) (out []Hold) {
	if !s.InForce {
		return []Hold{NeedsForce{}}
	}
	if s.Hurry != nil {
		return nil
	}
	if at := s.forcedAt(stage.Least); !t.passed(at) {
		out = append(out, NeedsTime{at.Sub(t.now)})
	}
	switch {
	case stage.Unjudged:
	case stage.Pass && !s.passes():
		out = append(out, NeedsPass{})
	case !stage.Pass && !s.noFail():
		out = append(out, NeedsData{})
	}
	if s.leans() && !s.Decided {
		out = append(out, Leans{})
	}
	if s.Alarm && !s.Dismissed {
		out = append(out, alarms(s.Look))
	}
	if calm := s.contested(t); calm > 0 {
		out = append(out, Contested{calm})
	}
	return out
}

// heldBack returns the holds of a release that goes back.
func (s State) heldBack(d *Definition, t *timer) []Hold {
	var hold Hold
	switch {
	case s.Back == BackDone:
		return nil
	case s.Back == BackRestore:
		hold = NeedsRestore{}
	case s.Back == BackTraffic:
		hold = NeedsForce{WantStable}
	case s.Back == BackDrain && !s.InForce:
		hold = NeedsForce{WantStableAgain}
	case s.Back == BackDrain:
		hold = Drains{s.StageAt.Add(s.drain(d)).Sub(t.now)}
	case s.Doing == StageLeave && (!s.Out || !s.InForce):
		hold = NeedsForce{WantCanaryOut}
	case s.Doing == StageLeave && !s.putBack(d):
		hold = NeedsPutBack{s.WorkFailed}
	default:
		names := make([]string, len(d.Rollback.Steps))
		for i, step := range d.Rollback.Steps {
			names[i] = step.StepName()
		}
		hold = NeedsCleanup{names}
	}
	return []Hold{hold, FailsAfter{s.BackAt.Add(d.Rollback.Deadline).Sub(t.now)}}
}

package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// driftLimit external changes within driftWindow mean that another writer keeps changing the configuration.
const (
	driftWindow = time.Minute
	driftLimit  = 3
)

// Apply folds one event into the state; e's time is the only time it knows. For an event that the state does not accept it
// returns the state unchanged, and an error that wraps [ErrNotAllowed] or is an [*AnsweredError].
//
// Apply decides nothing: every decision is an event of its own, from [State.Next]. So each version of the program folds a
// log to the same state, even if it would decide differently.
func (s State) Apply(e Event) (State, error) {
	if got, want := e.Head().Seq, s.Seq+1; got != want {
		return s, fmt.Errorf("%w: event %d after %d", ErrNotAllowed, got, s.Seq)
	}
	next, err := s.clone().fold(e)
	if err != nil {
		return s, err
	}
	next.Seq = e.Head().Seq
	return next, nil
}

// clone copies what fold changes in place, so that the old state stays valid.
func (s State) clone() State {
	s.Told = slices.Clone(s.Told)
	s.Drifts = slices.Clone(s.Drifts)
	s.Answered = maps.Clone(s.Answered)
	s.Later, s.Lacks = slices.Clone(s.Later), slices.Clone(s.Lacks)
	return s
}

func (s State) fold(e Event) (State, error) {
	switch s.Phase {
	case "":
		if e, ok := e.(Started); ok {
			return started(e), nil
		}
		return s, fmt.Errorf("%w: a release begins with Started, not with %s", ErrNotAllowed, Kind(e))
	case PhaseEnded:
		return s, s.refuse(e)
	case Active, RollingBack:
	}
	switch e := e.(type) {
	case RollbackRequested:
		return s.back(e, "rolled back: "+orNone(e.Reason), RolledBack)
	case CancelRequested:
		return s.back(e, "cancelled: "+orNone(e.Reason), Cancelled)
	case Superseded:
		if s.Watching() || s.Successor != nil {
			return s.followed(e)
		}
		back, err := s.back(e, "superseded by release "+e.Next.ID, OutcomeSuperseded)
		back.Successor = &e.Next
		return back, err
	case SuccessorCancelled:
		if s.Successor == nil || s.Successor.ID != e.ID || s.SuccessorCancelled != nil {
			return s, s.refuse(e)
		}
		s.SuccessorCancelled = &e
		return s, nil
	case Drained:
		if !s.InForce {
			return s, s.refuse(e) // the canary may be serving users again
		}
		next, err := s.rollbackStage(e, BackDrain, BackCleanup)
		if err == nil && e.Leave {
			next.Doing = StageLeave
			next = next.turned()
		}
		return next, err
	case CleanedUp:
		if s.Doing == StageLeave && !s.Out {
			return s, s.refuse(e)
		}
		return s.rollbackStage(e, BackCleanup, BackDone)
	case Ended:
		return s.ended(e)
	default:
		return s.foldOn(e)
	}
}

// foldOn folds the events of a release that goes on or is paused.
func (s State) foldOn(e Event) (State, error) {
	switch e := e.(type) {
	case Started:
		return s, s.refuse(e)
	case StepEntered:
		return s.entered(e)
	case InForce:
		return s.inForce(e)
	case NotInForce:
		return s.notInForce(e)
	case Drifted:
		s.Drifts = append(s.Drifts, e.At)
		s.Drifts = s.Drifts[max(0, len(s.Drifts)-driftLimit):]
		return s, nil
	case LookTaken:
		return s.lookTaken(e)
	case AlarmDismissed:
		if s.Phase != Active || !s.Alarm {
			return s, s.refuse(e)
		}
		s.Dismissed = true
		return s, nil
	case GateAnswered:
		return s.gateAnswered(e)
	case WebhookAnswered:
		if s.Phase != Active || e.Step != s.Step || s.Webhook != nil {
			return s, s.refuse(e)
		}
		s.Webhook = &e
		return s, nil
	case JobSucceeded:
		return s.jobEnded(e, e.Step, "")
	case JobFailed:
		return s.jobEnded(e, e.Step, cmp.Or(e.Why, "no reason is known"))
	case DeploymentReady:
		return s.worked(e, e.Work, nil)
	case DeploymentFailed:
		return s.worked(e, e.Work, append([]string{}, e.Why...))
	case DeadlinePassed:
		return s.deadlinePassed(e)
	case WindowAwaited:
		return s.windowAwaited(e)
	case Paused:
		if s.Phase != Active || s.Pause != nil {
			return s, s.refuse(e)
		}
		s.Pause = &e
		return s, nil
	case WentOn:
		return s.wentOn(e)
	case Resumed:
		if s.Phase != Active || s.Pause == nil {
			return s, s.refuse(e)
		}
		return s.unpaused(e.At), nil
	case RollbackRequested, CancelRequested, Superseded, SuccessorCancelled, Drained, CleanedUp, Ended: // folded by fold
	}
	panic(fmt.Sprintf("rollout: event %T is not folded", e))
}

// refuse is the error for an event that the state does not accept.
func (s State) refuse(e Event) error {
	where := string(s.Phase)
	if s.StepName != "" && s.Phase == Active {
		where += " at step " + s.StepName
	}
	return fmt.Errorf("%w: %s while %s", ErrNotAllowed, Kind(e), where)
}

func started(e Started) State {
	return State{
		Rollout: e.Rollout, Revision: e.Revision, Parameters: maps.Clone(e.Parameters), Key: e.Key, Undoes: e.Undoes,
		Retries: e.Retries, Done: slices.Clone(e.Done), Returns: e.Returns,
		StartedBy: e.By, StartedAt: e.At, Swapped: e.Swapped, Phase: Active,
		Step: -1, GrayStep: -1, CohortStep: -1, StepAt: e.At, StageAt: e.At, Turn: 1,
	}
}

func (s State) entered(e StepEntered) (State, error) {
	p := s.Pending
	forward := e.Step == s.Step+1 && e.Stage == 0 || e.Step == s.Step && e.Stage == s.Stage+1
	if p != nil && !forward {
		forward = e.Step == p.Step && e.Stage == p.Stage && !e.Prepare && s.WorkReady
	}
	if s.Phase != Active || s.Pause != nil || !forward || s.atGate() {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	if s = s.unwatched().waited(now); e.Step != s.Step {
		s.StepAt, s.DecideFrom = now, time.Time{}
	}
	s.Step, s.Stage, s.StepName, s.StageAt = e.Step, e.Stage, e.Name, now
	s.Gate = ""
	s.Webhook, s.Job, s.Decided, s.Pending = nil, nil, false, nil
	prepared := p != nil && !e.Prepare // the stage that the person's word was about
	if s.Hurry != nil && (!s.Hurry.Full && !prepared || e.What == StageGate) {
		s.Hurry = nil
	}
	for _, about := range []Deadline{GateExpired, DecideMax, PromoteMax} { // missing data outlives the stage
		s = s.over(about)
	}
	if e.Prepare {
		s.Pending, s.Worked = &e, true
		return s.working(), nil
	}
	return s.moved(e)
}

// moved changes traffic and Deployments as entering a stage does, and remembers what users are still served.
func (s State) moved(e StepEntered) (State, error) {
	turn, served := s.Turn, s.served()
	s, err := s.heads(e)
	if s.Turn != turn && served.Scope != "" {
		s.Served = &served
	}
	return s, err
}

// heads points traffic and Deployments at what a stage wants.
func (s State) heads(e StepEntered) (State, error) {
	copies := s.Doing == StageMirror
	switch e.What {
	case StageGate, StageStill, StageDeploy, StageWatch, StagePreview:
	default:
		s.Doing = e.What
	}
	switch e.What {
	case StageAB:
		s.Moved, s.CohortStep, s.CohortGoes, s.Scope = true, e.Step, false, e.Scope
		return s.turned(), nil
	case StageGray:
		s.Moved, s.GrayStep, s.GrayStage, s.Scope = true, e.Step, e.Stage, e.Scope
		s.CohortGoes = s.CohortStep >= 0 && !e.KeepCohort
		return s.turned(), nil
	case StageMirror:
		s.Reached, s.Scope = true, e.Scope
		return s.turned(), nil
	case StagePreview:
		s.Reached, s.Previewed = true, true
		return s.turned(), nil
	case StagePromote:
		// Both arms are, or are about to be, the same version: there is nothing left to compare.
		s.Moved, s.Scope, s.Previewed = true, "", false
		s.CohortStep, s.CohortGoes = -1, false
		s.Exchanged = e.Stage == 1
		return s.turned(), nil
	case StageDeploy:
		return s.working(), nil
	case StagePatch, StageAwait:
		s.Scope, s.Served = "", nil
		s.Patched = s.Patched || e.What == StagePatch
		if s = s.working(); s.CohortStep >= 0 || s.Previewed || copies {
			s.CohortStep, s.CohortGoes, s.Previewed = -1, false, false
			s = s.turned()
		}
		return s, nil
	case StageReturn, StageLeave:
		return s.turned(), nil
	case StageGate:
		s.Gate = e.Name
		return s, nil
	case StageWatch:
		return s.watched(e), nil
	case StageStill:
		return s, nil
	}
	return s, fmt.Errorf("%w: unknown stage %q", ErrNotAllowed, e.What)
}

// working begins a new target of the Deployments, of which nothing is known yet.
func (s State) working() State {
	s.Work++
	s.WorkReady, s.WorkFailed = false, nil
	return s
}

// worked records how far the Deployments have come; failed is nil if they are ready.
func (s State) worked(e Event, work int, failed []string) (State, error) {
	if work != s.Work || work == 0 || failed == nil && s.WorkReady {
		return s, s.refuse(e)
	}
	s.WorkReady, s.WorkFailed = failed == nil, failed
	if s.Phase == RollingBack && s.Back == BackRestore {
		// Whether or not stable could be restored, the canary's traffic now goes back to it.
		return s.toStable(s.Clock(e.Head().At)), nil
	}
	return s, nil
}

func (s State) jobEnded(e Event, step int, why string) (State, error) {
	if s.Phase != Active || step != s.Step || s.Job != nil {
		return s, s.refuse(e)
	}
	s.Job = &JobEnded{Why: why}
	return s, nil
}

// turned begins a new target of traffic: nothing is known of it yet, and earlier observations do not count.
func (s State) turned() State {
	s.Turn++
	s.InForce, s.InForceHow, s.ForceFor, s.InForceSince = false, "", 0, time.Time{}
	s.UnconfirmedAt, s.NotInForceWhy = time.Time{}, nil
	s.Look, s.Alarm, s.Dismissed = nil, false, false
	return s.lacking(nil)
}

// lacking records the metrics without data, and ends what was about missing data that is back.
func (s State) lacking(lacks []Lack) State {
	s.Lacks = lacks
	s.NoDataSince, s.UnreachableSince = earliest(lacks, judge.NoData), earliest(lacks, judge.Unreachable)
	if s.NoDataSince.IsZero() {
		s = s.over(NoDataFor)
	}
	if s.UnreachableSince.IsZero() {
		s = s.over(UnreachableFor)
	}
	if len(lacks) == 0 {
		s, s.BlindSince = s.over(BlindFor), time.Time{}
	}
	return s
}

// earliest is when the first lack for a reason began, optional metrics aside; zero if there is none.
func earliest(lacks []Lack, reason judge.Reason) (at time.Time) {
	for _, l := range lacks {
		if l.Reason == reason && !l.Optional && (at.IsZero() || l.Since.Before(at)) {
			at = l.Since
		}
	}
	return at
}

// over withdraws the questions about a condition that has ended, and lets its deadline act again.
func (s State) over(about Deadline) State {
	s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == about })
	s.Later = slices.DeleteFunc(s.Later, func(q Question) bool { return q.About == about })
	if s.Question != nil && s.Question.About == about {
		return s.nextQuestion()
	}
	return s
}

// nextQuestion replaces the open question with the one that was asked after it.
func (s State) nextQuestion() State {
	s.Question = nil
	if len(s.Later) > 0 {
		q := s.Later[0]
		s.Question, s.Later = &q, s.Later[1:]
	}
	return s
}

// asked finds an open question by its name.
func (s State) asked(name string) (Question, bool) {
	if s.Question != nil && s.Question.Name == name {
		return *s.Question, true
	}
	i := slices.IndexFunc(s.Later, func(q Question) bool { return q.Name == name })
	if i < 0 {
		return Question{}, false
	}
	return s.Later[i], true
}

// answered removes a question.
func (s State) answered(q Question) State {
	if s.Question != nil && s.Question.Name == q.Name {
		return s.nextQuestion()
	}
	s.Later = slices.DeleteFunc(s.Later, func(l Question) bool { return l.Name == q.Name })
	return s
}

func (s State) inForce(e InForce) (State, error) {
	if e.Turn != s.Turn || s.InForce {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	s.InForce, s.InForceHow, s.InForceSince, s.Silent = true, e.How, now, slices.Clone(e.Silent)
	s.UnconfirmedAt, s.NotInForceWhy, s.Served = time.Time{}, nil, nil
	if (s.Moved || s.Doing == StageMirror) && s.ExposedAt.IsZero() {
		s.ExposedAt = e.At
	}
	switch {
	case s.Phase == RollingBack && s.Back == BackTraffic:
		s.Back, s.StageAt = BackDrain, now
	case s.Doing == StageLeave && !s.Out && (s.Phase == Active || s.Back == BackCleanup):
		s.Out = true // now its replicas may be removed
		s = s.working()
	case s.CohortGoes:
		s.CohortStep, s.CohortGoes = -1, false
		s = s.turned()
	}
	return s, nil
}

func (s State) notInForce(e NotInForce) (State, error) {
	if e.Turn != s.Turn {
		return s, s.refuse(e)
	}
	now := s.Clock(e.At)
	if s.InForce {
		s.ForceFor += max(0, now.Sub(s.InForceSince))
		s.InForce = false
	}
	s.NotInForceWhy = slices.Clone(e.Why)
	if e.Unconfirmed || e.Written {
		s.Served = nil // it is written, so it is on its way to the users
	}
	switch {
	case !e.Unconfirmed:
		s.UnconfirmedAt = time.Time{}
	case s.UnconfirmedAt.IsZero():
		s.UnconfirmedAt = now
	}
	return s, nil
}

// lookTaken folds a look at what is served. A fail of an earlier turn of the same evidence counts too: it outranks an
// advance that has been decided meanwhile.
func (s State) lookTaken(e LookTaken) (State, error) {
	v, now := e.Verdict, s.Clock(e.At)
	if !s.Watches(e.Scope) || e.Turn != s.Turn && (e.Turn > s.Turn || v.Outcome != judge.Fail) {
		return s, s.refuse(e)
	}
	v.Enough = v.Enough && e.Scope == s.Scope // enough data for the previous scope says nothing about this one
	before, raised := alarms(s.Look), alarms(&v)
	s.Look, s.LastVerdict = &v, &v
	s.Alarm = raised != Alarmed{}
	s.Dismissed = s.Dismissed && s.Alarm && (before.Split || !raised.Split) && (before.Exposures || !raised.Exposures)
	blind := since(s.BlindSince, blind(v), now)
	s = s.lacking(lacksOf(v, s.Lacks, now))
	if s.BlindSince = blind; blind.IsZero() {
		s = s.over(BlindFor)
	}
	if v.Outcome == judge.Fail && s.WatchAsks {
		s.WorseAt = since(s.WorseAt, true, now)
		return s, nil
	}
	if v.Outcome == judge.Fail && !s.EvenIfWorse && s.Watching() {
		return s.back(e, "it is worse than what was in service before: "+v.Decisive, RolledBack)
	}
	if v.Outcome == judge.Fail && !s.EvenIfWorse {
		return s.back(e, "the canary is worse: "+v.DecisiveName(), RolledBack)
	}
	return s, nil
}

// wentOn folds a person's word that the release may go on. A gate is answered instead; only a word about all that is left
// can be given there.
func (s State) wentOn(e WentOn) (State, error) {
	switch {
	case s.Phase != Active || s.Promoting() && !s.Watching():
		return s, s.refuse(e)
	case s.Pause != nil:
		return s, fmt.Errorf("%w: it is paused by %s: resume it first", ErrNotAllowed, s.Pause.By)
	case s.atGate() && !e.Full:
		return s, fmt.Errorf("%w: it waits at gate %s, which is to be answered", ErrNotAllowed, s.Gate)
	}
	e.Full = e.Full || s.Hurry != nil && s.Hurry.Full
	s.Hurry, s.EvenIfWorse = &e, s.EvenIfWorse || e.EvenIfWorse
	s.DecideFrom = s.Clock(e.At) // as the answer to a question, it gives the weights to come their time
	return s, nil
}

// News tells whether a verdict says something that last, the verdict of this target's newest event, did not; last is nil
// if there is none. A warm-up is never news, nor is an unsettled look, unless it fails or has no data.
func News(last *judge.Verdict, v judge.Verdict, unsettled bool) bool {
	lacks := v.Reason == judge.NoData || v.Reason == judge.Unreachable
	if v.Reason == judge.WarmingUp || unsettled && v.Outcome != judge.Fail && !lacks {
		return false
	}
	return last == nil || last.Outcome != v.Outcome || kindOf(last.Reason) != kindOf(v.Reason) || last.Enough != v.Enough ||
		last.Leaning != v.Leaning || blind(*last) != blind(v) || alarms(last) != alarms(&v) ||
		!slices.EqualFunc(lacksOf(*last, nil, time.Time{}), lacksOf(v, nil, time.Time{}), func(a, b Lack) bool { return a == b })
}

// kindOf maps reasons that make no difference to one: too few requests and undecided both wait for more data, and with
// little traffic looks alternate between them.
func kindOf(r judge.Reason) judge.Reason {
	if r == judge.TooFew || r == judge.NotPositive {
		return judge.Undecided
	}
	return r
}

// lacksOf are a verdict's metrics without data; those that had none before keep their beginnings.
func lacksOf(v judge.Verdict, before []Lack, now time.Time) (out []Lack) {
	add := func(l Lack) {
		l.Since = now
		for _, b := range before {
			if b.Metric == l.Metric && b.Reason == l.Reason {
				l.Since = b.Since
			}
		}
		out = append(out, l)
	}
	whole := false // the verdict's own reason is a metric's
	for _, m := range v.Metrics {
		if !m.DryRun && (m.Reason == judge.NoData || m.Reason == judge.Unreachable) {
			whole = whole || m.Reason == v.Reason && !m.Optional
			add(Lack{Metric: m.Metric, Reason: m.Reason, Optional: m.Optional})
		}
	}
	if !whole && (v.Reason == judge.NoData || v.Reason == judge.Unreachable) {
		add(Lack{Metric: v.Decisive, Reason: v.Reason})
	}
	return out
}

// blind tells whether a verdict shows nothing of a canary that serves users: no metric could be asked, or all data is gone
// although the canary has served requests. A canary without any data so far may not have had a user yet.
func blind(v judge.Verdict) bool {
	asked := func(m judge.MetricVerdict) bool { return !m.DryRun && m.Reason != judge.Unreachable }
	if v.Reason == judge.Unreachable && !slices.ContainsFunc(v.Metrics, asked) {
		return true
	}
	serves := v.SampleRatio != nil && v.SampleRatio.Canary > 0 ||
		slices.ContainsFunc(v.Metrics, func(m judge.MetricVerdict) bool { return m.Canary.Total > 0 })
	return v.Blind && serves
}

// alarms are what a verdict has found wrong with the data itself; v may be nil.
func alarms(v *judge.Verdict) Alarmed {
	if v == nil {
		return Alarmed{}
	}
	return Alarmed{Split: v.SampleRatio != nil && v.SampleRatio.Alarm, Exposures: len(v.Contradictions) > 0}
}

// since keeps the beginning of a condition while it lasts.
func since(began time.Time, holds bool, now time.Time) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case began.IsZero():
		return now
	}
	return began
}

func (s State) gateAnswered(e GateAnswered) (State, error) {
	if a, ok := s.Answered[e.Gate]; ok {
		return s, &AnsweredError{Gate: e.Gate, By: a.By, At: a.At, Answer: a.Answer}
	}
	asked, question := s.asked(e.Gate)
	if s.Phase != Active || !question && (e.Gate == "" || e.Gate != s.Gate) {
		return s, s.refuse(e)
	}
	if s.Answered == nil {
		s.Answered = map[string]GateAnswered{}
	}
	switch e.Answer {
	case Reject:
		s.Answered[e.Gate] = e
		return s.back(e, "gate "+e.Gate+" was rejected: "+orNone(e.Reason), RolledBack)
	case Approve:
		s.Answered[e.Gate] = e
		if question {
			// "Go on" also gives the remaining weights their time: the step's own has passed.
			s = s.answered(asked)
			s.Decided, s.DecideFrom = true, s.Clock(e.At)
		}
		return s, nil
	case KeepWaiting:
		if question && asked.About == FoundWorse {
			return s, fmt.Errorf("%w: it was found worse: approve keeps it, reject takes it back", ErrNotAllowed)
		}
		if !question {
			return s, fmt.Errorf("%w: a gate takes approve or reject, not wait", ErrNotAllowed)
		}
		s.Answered[e.Gate] = e
		return s.answered(asked).waitAgain(asked.About, s.Clock(e.At)), nil
	}
	return s, fmt.Errorf("%w: unknown answer %q", ErrNotAllowed, e.Answer)
}

// waitAgain gives the condition of a question its full time again.
func (s State) waitAgain(about Deadline, now time.Time) State {
	s.Told = slices.DeleteFunc(s.Told, func(d Deadline) bool { return d == about })
	switch about {
	case DecideMax, PromoteMax:
		s.DecideFrom = now
	case NoDataFor:
		s.NoDataSince = s.again(judge.NoData, now)
	case UnreachableFor:
		s.UnreachableSince = s.again(judge.Unreachable, now)
	case BlindFor:
		s.BlindSince = now
	case GateExpired, FoundWorse:
	}
	return s
}

// again lets all lacks for a reason begin now.
func (s State) again(reason judge.Reason, now time.Time) time.Time {
	for i := range s.Lacks {
		if s.Lacks[i].Reason == reason {
			s.Lacks[i].Since = now
		}
	}
	return now
}

func (s State) deadlinePassed(e DeadlinePassed) (State, error) {
	again := slices.Contains(s.Told, e.Which)
	lack := e.Which == NoDataFor || e.Which == UnreachableFor // earlier versions repeated them at each step
	if s.Phase != Active || s.Pause != nil || again && !lack {
		return s, s.refuse(e)
	}
	if !again {
		s.Told = append(s.Told, e.Which)
	}
	why := "time was over (" + string(e.Which) + ")"
	switch e.Then {
	case PolicyHold:
		return s, nil
	case PolicyGate:
		s.Questions++
		q := Question{Name: fmt.Sprintf("%s.%s.%d", s.StepName, e.Which, s.Questions), About: e.Which, Since: e.At}
		if s.Question == nil {
			s.Question = &q
		} else {
			s.Later = append(s.Later, q)
		}
		return s, nil
	case PolicyRollback:
		return s.back(e, why, RolledBack)
	case PolicyCancel:
		return s.back(e, why, Cancelled)
	}
	return s, fmt.Errorf("%w: unknown policy %q", ErrNotAllowed, e.Then)
}

// back turns the release towards stable. A release that has moved no traffic has nothing to go back from: Next ends it as
// cancelled, without a rollback.
func (s State) back(e Event, why string, outcome Outcome) (State, error) {
	if s.Phase != Active {
		return s, s.refuse(e)
	}
	s = s.unpaused(e.Head().At)
	switch served := s.Moved || s.Patched; { // users may have been served by the new version
	case outcome == Cancelled && served:
		outcome = RolledBack
	case outcome == RolledBack && !served && !s.Reached:
		outcome = Cancelled
	}
	now := s.Clock(e.Head().At)
	s.Phase, s.StageAt, s.BackAt = RollingBack, now, now
	s.Why, s.WhyBy, s.Outcome = why, e.Head().By, outcome
	s.Scope, s.Served, s.Gate, s.Question, s.Later, s.Webhook, s.Told = "", nil, "", nil, nil, nil, nil // Job is kept: the end says what became of it
	s.Pending, s.Hurry = nil, nil
	s = s.unawaited().unwatched()
	switch {
	case !s.Moved && !s.Reached && s.Work == 0:
		s.Back = BackDone
		s.Doing = ""
		return s, nil
	case s.Doing == StagePatch && len(s.WorkFailed) > 0:
		s.Back = BackRestore
		return s.working(), nil
	}
	look := s.Look
	s = s.toStable(now)
	s.Look = look
	return s, nil
}

// toStable begins a rollback's first target: all traffic on stable.
func (s State) toStable(now time.Time) State {
	s.Back, s.StageAt = BackTraffic, now
	s.Exchanged = false
	s.CohortStep, s.CohortGoes, s.GrayStep, s.GrayStage = -1, false, -1, 0
	if s.Doing != StageLeave {
		s.Doing = "" // a canary that has left already stays out
	}
	s.Out, s.Previewed = false, false
	if s.Work > 0 {
		s = s.working()
	}
	return s.turned()
}

// ended accepts the one end that each way has: released, with the promotion in force; the outcome that the rollback was
// begun for; or failed while going back.
func (s State) ended(e Ended) (State, error) {
	released := s.Phase == Active && s.Pause == nil && e.Outcome == Released && (s.Exchanged || s.Out) && s.InForce
	back := s.Phase == RollingBack && (e.Outcome == Failed || s.Back == BackDone && (e.Outcome == s.Outcome || s.saidCancelled(e)))
	if !released && !back {
		return s, s.refuse(e)
	}
	s.Phase, s.Outcome, s.EndedAt = PhaseEnded, e.Outcome, e.At
	s.Why, s.WhyBy = e.Why, cmp.Or(s.WhyBy, e.By)
	s = s.unwatched()
	s.Scope, s.Served, s.Question, s.Later = "", nil, nil, nil
	return s, nil
}

// saidCancelled accepts what earlier versions stored: cancelled, although stable's Deployment had been changed.
func (s State) saidCancelled(e Ended) bool {
	return e.Outcome == Cancelled && s.Outcome == RolledBack && s.Patched && !s.Moved
}

func (s State) rollbackStage(e Event, from, to BackStage) (State, error) {
	if s.Phase != RollingBack || s.Back != from {
		return s, s.refuse(e)
	}
	s.Back, s.StageAt = to, s.Clock(e.Head().At)
	return s, nil
}

// unpaused lets the release's own time run again.
func (s State) unpaused(at time.Time) State {
	if s.Pause != nil {
		s = s.pausedAwaiting(s.Pause.At, at)
		s.PausedFor += max(0, at.Sub(s.Pause.At))
		s.Pause = nil
	}
	return s
}

func orNone(reason string) string { return cmp.Or(reason, "no reason given") }

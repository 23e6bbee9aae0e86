package rollout

import (
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// lacking records the metrics without data, and ends the conditions whose data is back.
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

// lookTaken folds a look at what users are served. A fail in an earlier turn of the same evidence counts too: it
// outranks an advance decided in the meantime.
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

// News tells whether a verdict says something that last, the verdict of this target's newest event, did not; last is
// nil if there is none. A warm-up is never news, and an unsettled look is news only if it fails or has no data. A metric
// of a dry run is news when it begins to fail, and not when it ceases to: around its threshold it may do both at any look.
func News(last *judge.Verdict, v judge.Verdict, unsettled bool) bool {
	lacks := v.Reason == judge.NoData || v.Reason == judge.Unreachable
	if v.Reason == judge.WarmingUp || unsettled && v.Outcome != judge.Fail && !lacks {
		return false
	}
	return last == nil || last.Outcome != v.Outcome || kindOf(last.Reason) != kindOf(v.Reason) || last.Enough != v.Enough ||
		last.Leaning != v.Leaning || len(v.WouldFail(last)) > 0 || blind(*last) != blind(v) || alarms(last) != alarms(&v) ||
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

// lacksOf are a verdict's metrics without data; those that had none before keep their start times.
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

// blind tells whether a verdict shows nothing of a canary that serves users: no metric could be asked, or all data is
// gone although the canary has served requests. A canary that never had data may simply not have had a user yet.
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

// since returns when a condition began, for as long as it lasts.
func since(began time.Time, holds bool, now time.Time) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case began.IsZero():
		return now
	}
	return began
}

package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/serindev/serin/judge"
)

// Stretch is a time at one weight.
type Stretch struct {
	Weight float64
	For    time.Duration
}

// Watched is what a judge said over a stretch of time.
type Watched struct {
	// FailAt and PassAt are when it first failed and first passed, since the beginning; Failed and Passed are false if it
	// never did.
	FailAt, PassAt time.Duration
	Failed, Passed bool
	// Alarmed: the test of the split raised an alarm, first at AlarmAt.
	Alarmed bool
	AlarmAt time.Duration
	// Bad are the canary's bad events of the first metric until it failed, or until the end; Hurt those since the
	// fault began.
	Bad, Hurt float64
	// Learned is what was learned, by metric; nothing is learned from a failed one.
	Learned map[string]judge.Past
}

// Watch lets a judge look at a world every interval while the stretches last. It goes on after a pass, like a release that
// waits at a weight, and ends with the first fail. It applies no policy; [Plan.Run] does.
func Watch(j judge.Judge, w World, stretches []Stretch, interval time.Duration, pasts map[string][]judge.Past, src rand.Source) Watched {
	users, e, number := w.Users(src), j.Begin(pasts), 0
	var out Watched
	for _, s := range stretches {
		for range int(s.For / interval) {
			number++
			at := time.Duration(number) * interval
			look := users.Look(number, epoch.Add(at), interval, s.Weight)
			var v judge.Verdict
			e, v = j.Look(e, look)
			out.Bad += look.Observations[0].Canary.Bad
			if at > w.From {
				out.Hurt += look.Observations[0].Canary.Bad
			}
			if v.SampleRatio != nil && v.SampleRatio.Alarm && !out.Alarmed {
				out.Alarmed, out.AlarmAt = true, at
			}
			if v.Outcome == judge.Pass && !out.Passed {
				out.Passed, out.PassAt = true, at
			}
			if v.Outcome == judge.Fail {
				out.Failed, out.FailAt = true, at
				return out
			}
		}
	}
	out.Learned = e.Learned()
	return out
}

package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/serindev/serin/judge"
)

// Stretch is a period of time at one weight.
type Stretch struct {
	Weight float64
	For    time.Duration
}

// Watched is what a judge said over a period of time.
type Watched struct {
	// FailAt and PassAt are the times from the beginning to the first fail and the first pass. Failed and Passed are false
	// if there was none.
	FailAt, PassAt time.Duration
	Failed, Passed bool
	// Alarmed means that the test of the split raised an alarm, for the first time at AlarmAt.
	Alarmed bool
	AlarmAt time.Duration
	// Bad counts the canary's bad events in the first metric until the fail or the end; Hurt counts those since the fault
	// began.
	Bad, Hurt float64
	// Learned holds what the comparison taught, by metric. A failed one teaches nothing.
	Learned map[string]judge.Past
}

// Watch lets a judge look at a world at every interval until the stretches are over. It continues after a pass, like a
// release that waits at a weight, and ends with the first fail. It applies no policy; [Plan.Run] does.
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

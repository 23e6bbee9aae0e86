package simulation_test

import (
	"math"
	"time"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/kayenta"
)

// What peers do, written anew for the comparison of docs/statistics.md and for nothing else. Each looks at the same
// looks as Serin's judge and says when it would first have rolled back.

// found is when a peer rolled back; ok is false if it never did.
type found struct {
	at  time.Duration
	bad float64 // of the canary until then
	ok  bool
}

// minute is what one minute of looks adds up to.
type minute struct{ canaryBad, canary, baselineBad, baseline float64 }

func (m minute) rates() (canary, baseline float64) {
	return m.canaryBad / max(m.canary, 1), m.baselineBad / max(m.baseline, 1)
}

// minutes adds looks up and hands over each minute with the time of its end and the canary's bad events until then.
func minutes(looks []judge.Look, take func(at time.Duration, bad float64, m minute) (stop bool)) found {
	var m minute
	bad, passed := 0.0, time.Duration(0)
	for _, l := range looks {
		o := l.Observations[0]
		m.canaryBad += o.Canary.Bad
		m.canary += o.Canary.Total
		m.baselineBad += o.Baseline.Bad
		m.baseline += o.Baseline.Total
		bad += o.Canary.Bad
		passed += l.Length
		if passed%time.Minute != 0 {
			continue
		}
		if take(passed, bad, m) {
			return found{passed, bad, true}
		}
		m = minute{}
	}
	return found{}
}

// failedChecks rolls back when the canary's rate of a minute was above the threshold so many times in all: what
// Flagger (a counter that reaches its threshold) and Argo Rollouts (a failure limit that is exceeded: 3 means the
// fourth failure) do.
func failedChecks(looks []judge.Look, threshold float64, failed int) found {
	failures := 0
	return minutes(looks, func(_ time.Duration, _ float64, m minute) bool {
		if rate, _ := m.rates(); rate > threshold {
			failures++
		}
		return failures >= failed
	})
}

// rankTest judges the rates of all minutes so far, every so often, as Kayenta's judge does: a Mann-Whitney interval
// at 98%, a tolerance of a quarter of the shift, and the ratio of the means at least 1.
func rankTest(looks []judge.Look, every time.Duration) found {
	var canary, baseline []float64
	return minutes(looks, func(at time.Duration, _ float64, m minute) bool {
		c, b := m.rates()
		canary, baseline = append(canary, c), append(baseline, b)
		if at%every != 0 {
			return false
		}
		i, err := kayenta.MannWhitney(canary, baseline, 0.98)
		if err != nil {
			return false
		}
		sumC, sumB := 0.0, 0.0
		for k := range canary {
			sumC += canary[k]
			sumB += baseline[k]
		}
		return i.Lower > 0.25*math.Abs(i.Estimate) && (sumB == 0 || sumC >= sumB)
	})
}

// knowing is the sequential probability ratio test (Wald 1945) that knows the effect and that errors are
// independent: nothing finds it sooner at this level.
func knowing(looks []judge.Look, effect, level float64) found {
	evidence, bad, passed := 0.0, 0.0, time.Duration(0)
	for _, l := range looks {
		c, b := l.Observations[0].Canary, l.Observations[0].Baseline
		passed += l.Length
		bad += c.Bad
		if c.Total == 0 || b.Total == 0 {
			continue
		}
		a := c.Total / b.Total
		theta := func(r float64) float64 { return r * a / (1 + r*a) }
		evidence += c.Bad*math.Log(theta(effect)/theta(1)) + b.Bad*math.Log((1-theta(effect))/(1-theta(1)))
		if evidence >= math.Log(1/level) {
			return found{passed, bad, true}
		}
	}
	return found{}
}

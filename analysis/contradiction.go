package analysis

import (
	"maps"
	"math"
	"time"

	"github.com/serindev/serin/judge"
)

// A gateway divides one stream of requests between the arms, so the exposures of all metrics have to be divided as the
// weight is. A metric whose exposure is not was measured wrongly: its labels name the other arm or a version outside
// the release, or an arm is counted twice. A verdict on it would be about something else.
const (
	// unlike is the factor by which the arms' exposures may differ because the versions behave differently: requests
	// that lead to others, and users who leave earlier.
	unlike = 1.5
	// wander is how much the ratio of two exposures varies without a cause from one minute and a half to the next.
	wander  = 0.1
	wanders = 90 * time.Second
	// unlikeAround is how far beyond unlike a wrong exposure is expected to be, as a standard deviation of the log
	// ratio.
	unlikeAround = 1.0
	// leastLooks is how many looks it takes to estimate how bursty events are.
	leastLooks = 5
)

// divided is the division of an exposure between the arms since the weight changed.
type divided struct {
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	// Squares is the sum, over Looks looks, of the canary's squared share of the exposure times the exposure.
	Squares float64 `json:"squares"`
	Looks   int     `json:"looks"`
}

func (d *divided) add(canary, baseline float64) {
	if n := canary + baseline; n > 0 {
		d.Canary, d.Baseline = d.Canary+canary, d.Baseline+baseline
		d.Squares += canary * canary / n
		d.Looks++
	}
}

// logOdds returns the logarithm of canary over baseline, and its variance. Bursts of events vary more than independent
// events do, by the factor of Pearson's statistic.
func (d divided) logOdds() (at, variance float64) {
	canary, baseline := d.Canary+0.5, d.Baseline+0.5
	n, dispersion := canary+baseline, 1.0
	if p := d.Canary / (d.Canary + d.Baseline); d.Looks > 1 && p > 0 && p < 1 {
		free := float64(d.Looks - 1)
		dispersion = (d.Squares - d.Canary*p) / (p * (1 - p) * free)
		dispersion *= 1 + 3*math.Sqrt(2/free) // its own uncertainty
	}
	return math.Log(canary / baseline), max(1, dispersion) * n / (canary * baseline)
}

// exposure is the division of two exposures in the same looks: a metric's, and the one with which it has to agree.
type exposure struct {
	Mine   divided `json:"mine"`
	Theirs divided `json:"theirs"` // empty if Mine has to agree with the weight
	// Seconds is the total length of the looks.
	Seconds float64 `json:"seconds"`
}

// contradiction reports that the exposures cannot belong to the same requests, even if the versions make them differ by
// [unlike]; nil if they can. alpha is the chance of ever reporting that for exposures that agree within that factor,
// however often they are tested. weight is the canary's share, for an exposure that has to agree with it.
//
// The evidence is that of Robbins's normal mixture (Ann. Math. Statist. 41 (1970), 1397–1409), as for the sample ratio;
// the log ratio is tested against the nearest bound.
func (e exposure) contradiction(weight, alpha float64) *judge.Contradiction {
	at, variance := e.Mine.logOdds()
	theirs, more := math.Log(weight/(1-weight)), 0.0
	if e.Theirs.Looks > 0 {
		theirs, more = e.Theirs.logOdds()
	}
	ratio := at - theirs
	variance += more + wander*wander*wanders.Seconds()/max(e.Seconds, wanders.Seconds())
	beyond := math.Abs(ratio) - math.Log(unlike)
	wide := variance + unlikeAround*unlikeAround
	evidence := math.Log(variance/wide)/2 + beyond*beyond/2*(1/variance-1/wide)
	if alarm := math.Log(2 / alpha); e.Mine.Looks >= leastLooks && beyond > 0 && evidence >= alarm {
		return &judge.Contradiction{
			Canary: e.Mine.Canary, Baseline: e.Mine.Baseline, OtherCanary: e.Theirs.Canary, OtherBaseline: e.Theirs.Baseline,
			Ratio: math.Exp(ratio), Evidence: evidence, AlarmFrom: alarm,
		}
	}
	return nil
}

// exposures are those of a scope since the weight changed, by metric.
type exposures struct {
	Weight float64             `json:"weight"`
	Of     map[string]exposure `json:"of"`
}

// contradictions adds a look's exposures to the earlier ones, and reports which of them contradict the gateway's
// requests; or the weight, if the requests are unknown; or another metric, if the weight cannot be trusted either.
func (p *Plan) contradictions(look *judge.Look, asks []Ask, next *Cursor) []judge.Contradiction {
	if look.Unsettled || look.Weight <= 0 || look.Weight >= 1 {
		return nil
	}
	sums := exposures{Weight: look.Weight, Of: map[string]exposure{}}
	if next.exposures != nil && next.exposures.Weight == look.Weight {
		maps.Copy(sums.Of, next.exposures.Of)
	}
	other, from, against := p.reference(look, asks)
	var found []judge.Contradiction
	for i := range p.metrics {
		o, r := &look.Observations[i], &p.metrics[i]
		if !p.divides(r) || o.Metric == against {
			continue
		}
		e := sums.Of[o.Metric]
		if bothArms(o) && asks[r.canary.main].after == from {
			e = e.plus(o, other, look.Length)
			sums.Of[o.Metric] = e
		}
		if e.Theirs.Looks > 0 && against == judge.AgainstWeight {
			against = judge.AgainstRequests // which are not available in this look
		}
		if e.Mine.Looks == 0 || e.Theirs.Looks == 0 && against != judge.AgainstWeight {
			continue
		}
		if c := e.contradiction(look.Weight, p.falseAlarm); c != nil {
			c.Metric, c.Against = o.Metric, against
			found = append(found, *c)
		}
	}
	if len(sums.Of) > 0 {
		next.exposures = &sums
	}
	return found
}

// plus adds a look. Once there were requests to compare with, looks without them are ignored, and the earlier looks are
// dropped.
func (e exposure) plus(o *judge.Observation, other *judge.Requests, length time.Duration) exposure {
	switch {
	case other == nil && e.Theirs.Looks > 0:
		return e
	case other != nil && e.Theirs.Looks == 0:
		e = exposure{}
	}
	if other != nil {
		e.Theirs.add(other.Canary, other.Baseline)
		if e.Theirs.Looks == 0 {
			return exposure{}
		}
	}
	e.Mine.add(o.Canary.Total, o.Baseline.Total)
	e.Seconds += length.Seconds()
	return e
}

// reference returns what exposures have to agree with in a look, the start of its window, and its name.
func (p *Plan) reference(look *judge.Look, asks []Ask) (of *judge.Requests, from int64, name string) {
	if p.canary != none {
		from = asks[p.canary].after
		if look.Requests != nil {
			return look.Requests, from, judge.AgainstRequests
		}
		return nil, from, judge.AgainstWeight
	}
	for i := range p.metrics {
		if o := &look.Observations[i]; p.divides(&p.metrics[i]) {
			if !bothArms(o) {
				return nil, 0, o.Metric
			}
			return &judge.Requests{Canary: o.Canary.Total, Baseline: o.Baseline.Total}, asks[p.metrics[i].canary.main].after, o.Metric
		}
	}
	return nil, 0, ""
}

// bothArms reports whether both arms were counted.
func bothArms(o *judge.Observation) bool {
	return (o.Absent == "" || o.Absent == judge.WarmingUp) && !o.Canary.Missing && !o.Baseline.Missing
}

// divides reports whether a metric has an exposure of both arms that has to divide as the requests do. A dry run's does not
// have to: a contradiction would hold the release until somebody has looked at it.
func (p *Plan) divides(r *reading) bool {
	if _, ok := r.metric.Baseline.(Concurrent); !ok || r.metric.Uneven || r.metric.DryRun {
		return false
	}
	if _, ok := r.metric.Source.(Gauge); ok { // the number of a mean's values is an exposure, a gauge has none
		return false
	}
	return p.canary == none || !p.inputs[r.canary.main].asksAs(p.inputs[p.canary]) || !p.inputs[r.baseline.main].asksAs(p.inputs[p.baseline])
}

// asksAs reports whether two inputs select the same series.
func (in *input) asksAs(o input) bool { return in.template == o.template && in.value == o.value }

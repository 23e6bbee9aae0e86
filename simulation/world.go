// Package simulation answers the question what a judge, or a whole rollout, would do: simulated users use a canary, and it
// counts what happens. It is pure: all randomness comes from the caller's source, so that the same seed gives the same
// releases on any number of goroutines.
//
// It has no judge and no policy of its own: the real judge gets the looks, and the real state machine of package rollout
// gets the verdicts. Start reading at [World], then [Plan.Run].
package simulation

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/serindev/serin/judge"
)

// reference is the time, in seconds, to which correlations refer.
const reference = 10

// Wander says how a factor wanders. Deviation is the standard deviation of its logarithm, and Correlation is the
// correlation of the logarithm with itself ten seconds later. The zero value stays at 1.
type Wander struct{ Correlation, Deviation float64 }

// Scenario says in which ways other than the fault the arms differ, and errors depend on one another. The zero value has
// independent errors. Rates are per look.
type Scenario struct {
	Name string
	// Shared is a factor on the rates of both arms together.
	Shared Wander
	// Own is a factor on each arm's rate separately, so that the arms really differ for a while.
	Own Wander
	// Redrawn is the standard deviation of a gamma factor that is drawn for each arm and look.
	Redrawn float64
	// Cluster is the mean size of the clusters in which errors come. 0 and 1 mean single errors.
	Cluster float64
	// Apart is the standard deviation, among replicas, of the logarithm of a factor that each keeps for life. The canary has
	// one replica, stable has twenty.
	Apart float64
	// Restarts is how often an hour each replica restarts, which fails all its requests for ten seconds. Latencies are not
	// affected.
	Restarts float64
	// Cold is how many times as bad the latencies of a replica are when it starts. The factor decays within minutes.
	Cold float64
}

// The numbers of replicas of canary and baseline.
var replicas = [2]float64{1, 20}

// How long a restart takes, and the time constant with which a cold start decays, in seconds.
const (
	restarting = 10.0
	warming    = 120.0
)

// Scenarios returns the scenarios of `serin simulate`.
func Scenarios() []Scenario {
	return []Scenario{
		{Name: "iid"},
		{Name: "common-shocks", Shared: Wander{0.9, 1}},
		{Name: "overdispersed", Redrawn: 0.71},
		{Name: "bursts", Cluster: 8},
		{Name: "autocorrelated", Own: Wander{0.8, 0.5}},
		{Name: "slow-drift", Own: Wander{0.95, 0.3}},
		{Name: "pods", Apart: 0.2},
		{Name: "restarts", Restarts: 0.5},
		{Name: "cold-start", Cold: 5},
	}
}

// World describes the users and the two versions.
type World struct {
	// Rate is the number of requests a second for both arms together. Traffic says how it varies.
	Rate    float64
	Traffic Wander
	Scenario
	// Metrics are the measured metrics, in the order of the judge's settings.
	Metrics []Behaviour
	// From is the time from the beginning of the first look to that of the canary's fault.
	From time.Duration
	// Rotation means that the gateway splits requests exactly, by rotation. Otherwise each is drawn at random.
	Rotation bool
}

// Behaviour is how one metric behaves in both arms.
type Behaviour struct {
	// Metric is the judge's description of the metric.
	Metric judge.Metric
	// Base is the baseline's share of bad events (Counts, Objective) or its mean (Gauge, Mean).
	Base float64
	// Above is the baseline's share of requests above each bound (Histogram), in falling order.
	Above []float64
	// Effect is the canary's rate or mean over the baseline's during the fault. 0 means 1, no fault.
	Effect float64
	// Spread says how the mean wanders in each arm separately (Gauge).
	Spread Wander
}

// Users are the users of one simulated release. They are not safe for concurrent use.
type Users struct {
	world   World
	dice    dice
	traffic wandering
	shared  wandering
	arms    [2]arm // canary, baseline
	begun   time.Time
	rest    float64 // under rotation, the fraction of a request that the canary is still owed
	weight  float64
	started float64 // the share of the canary that started at the last step
	since   float64 // seconds since that step
}

// arm is the state of one arm.
type arm struct {
	own    wandering
	gauges []wandering
	apart  float64 // the factor that its replicas keep for life
	down   float64 // the share of the current look in which all requests fail
	cold   float64 // the current factor on latencies
}

// Users returns the users of a new release. src is the source of all randomness.
func (w World) Users(src rand.Source) *Users {
	u := &Users{world: w, dice: dice{rand.New(src)}} //nolint:gosec // a simulation has to be repeatable, not secret
	u.traffic.by, u.shared.by = w.Traffic, w.Shared
	for i := range u.arms {
		u.arms[i].own.by = w.Own
		u.arms[i].apart, u.arms[i].cold = u.apart(replicas[i]), 1
		for _, m := range w.Metrics {
			u.arms[i].gauges = append(u.arms[i].gauges, wandering{by: m.Spread})
		}
	}
	return u
}

// Look simulates the window of the given length that ends at at, with the given share of requests on the canary.
func (u *Users) Look(number int, at time.Time, length time.Duration, weight float64) judge.Look {
	if u.begun.IsZero() {
		u.begun = at.Add(-length)
	}
	seconds := length.Seconds()
	total := u.world.Rate * seconds * u.traffic.next(u.dice, seconds)
	n := u.divide(total, weight)
	shared := u.shared.next(u.dice, seconds)
	u.start(seconds, weight)
	faulty := !at.Add(-length).Before(u.begun.Add(u.world.From))
	look := judge.Look{
		Number: number, At: at, Length: length, Weight: weight, Requests: &judge.Requests{Canary: n[0], Baseline: n[1]},
		Observations: make([]judge.Observation, len(u.world.Metrics)),
	}
	var factor [2]float64
	for i := range u.arms {
		factor[i] = shared * u.arms[i].own.next(u.dice, seconds) * u.dice.gamma(u.world.Redrawn) * u.arms[i].apart
		u.arms[i].down = u.restarts(replicas[i], seconds)
	}
	for k, m := range u.world.Metrics {
		o := &look.Observations[k]
		o.Metric = m.Metric.Name
		effect := 1.0
		if faulty && m.Effect > 0 {
			effect = m.Effect
		}
		o.Canary = u.observe(&u.arms[0], k, n[0], factor[0]*effect, seconds)
		o.Baseline = u.observe(&u.arms[1], k, n[1], factor[1], seconds)
	}
	return look
}

// apart draws the factors of the given number of replicas and returns their mean.
func (u *Users) apart(replicas float64) float64 {
	if u.world.Apart == 0 {
		return 1
	}
	sum := 0.0
	for range int(replicas) {
		sum += math.Exp(u.world.Apart*u.dice.NormFloat64() - u.world.Apart*u.world.Apart/2)
	}
	return sum / replicas
}

// restarts draws the share of an arm's requests in a look that fail because replicas restart.
func (u *Users) restarts(replicas, seconds float64) float64 {
	if u.world.Restarts == 0 {
		return 0
	}
	n := u.dice.poisson(u.world.Restarts * replicas * seconds / 3600)
	return min(1, n*restarting/seconds/replicas)
}

// start makes the replicas that a higher weight adds to the canary cold.
func (u *Users) start(seconds, weight float64) {
	if weight > u.weight {
		u.started, u.since = (weight-u.weight)/weight, 0
	}
	u.weight = weight
	if u.world.Cold > 1 {
		u.arms[0].cold = 1 + (u.world.Cold-1)*u.started*math.Exp(-u.since/warming)
	}
	u.since += seconds
}

// History simulates stable alone for some minutes and returns the metrics that count bad events, by name.
func (w World) History(minutes int, src rand.Source) map[string]judge.History {
	u := w.Users(src)
	out := map[string]judge.History{}
	for n := range minutes {
		l := u.Look(n+1, time.Unix(int64(n)*60, 0), time.Minute, 0)
		for k, o := range l.Observations {
			if kind := w.Metrics[k].Metric.Kind; kind == judge.Gauge || kind == judge.Mean || kind == judge.Histogram {
				continue
			}
			h := out[o.Metric]
			h.Seconds = 60
			h.Baseline.Bad, h.Baseline.Total = append(h.Baseline.Bad, o.Baseline.Bad), append(h.Baseline.Total, o.Baseline.Total)
			out[o.Metric] = h
		}
	}
	return out
}

// divide draws the number of requests of each arm.
func (u *Users) divide(total, weight float64) [2]float64 {
	if !u.world.Rotation {
		return [2]float64{u.dice.poisson(total * weight), u.dice.poisson(total * (1 - weight))}
	}
	n := u.dice.poisson(total)
	u.rest += n * weight
	canary := float64(int64(u.rest))
	u.rest -= canary
	return [2]float64{canary, n - canary}
}

// observe draws one arm's values of metric k, whose rate is its base times factor.
func (u *Users) observe(a *arm, k int, requests, factor, seconds float64) judge.Arm {
	m := u.world.Metrics[k]
	switch m.Metric.Kind {
	case judge.Gauge:
		return judge.Arm{Value: m.Base * factor * a.gauges[k].next(u.dice, seconds)}
	case judge.Histogram:
		return u.histogram(m, requests, factor*a.cold)
	case judge.Mean:
		return judge.Arm{Bad: u.dice.values(requests, m.Base*factor), Total: requests}
	case judge.Counts, judge.Objective:
	}
	rate := min(m.Base*factor, 1)
	if m.Metric.Cold {
		rate *= a.cold
	} else {
		rate += (1 - rate) * a.down
	}
	return judge.Arm{Bad: u.bad(requests, rate), Total: requests}
}

// bad draws how many requests are bad.
func (u *Users) bad(requests, rate float64) float64 {
	rate = min(rate, 1)
	if !(u.world.Cluster > 1) {
		return u.dice.binomial(requests, rate)
	}
	sum := 0.0
	for range int(u.dice.poisson(requests * rate / u.world.Cluster)) {
		sum += u.dice.cluster(u.world.Cluster)
	}
	return min(sum, requests)
}

// histogram draws how many requests are above each bound, starting with the largest.
func (u *Users) histogram(m Behaviour, requests, factor float64) judge.Arm {
	out := judge.Arm{Total: requests, Cumulative: make([]float64, len(m.Above))}
	above, share := 0.0, 0.0
	for i, base := range slices.Backward(m.Above) {
		next := max(min(base*factor, 1), share)
		if share < 1 {
			above += u.dice.binomial(requests-above, (next-share)/(1-share))
		}
		share = next
		out.Cumulative[i] = requests - above
	}
	return out
}

package sequential

import (
	"math"
	"slices"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// noise is what is known of a metric's noise before the first look. It is stored with the evidence and has no pointers.
type noise struct {
	learned bool
	// wander holds the variances of one arm's log rate on time scales of 45, 200 and 900 seconds.
	wander   [len(statespace.Lengths)]float64
	clusters float64
	incident float64
	// lumps is the exposure a second in the history, if the wandering may come from events that come in lumps; 0 if it
	// cannot.
	lumps float64
	// users is the relative variance of the rate that comes from the number of users, 0 if that does not matter.
	users float64
	// few is the prior probability of the world of few users, 0 if the arms are not divided by users or their groups
	// are known.
	few float64
	// chill is the prior probability of a cold start if earlier releases began warm; 0 if they did not, or are unknown.
	chill float64
	// rate is the baseline's share of bad events, 0 if unknown.
	rate float64
	// arm is the constant difference of good versions according to earlier releases, as a standard deviation of the log
	// ratio; 0 if unknown.
	arm float64
	// replicas and spread: how many replicas the version in service has, and how much they differ; 0 if unknown.
	replicas int
	spread   float64
	// canary is how many replicas the canary had in the first look; 0 if unknown, which counts as one.
	canary int
	// calm: the arms may share their noise.
	calm bool
	// strains: one arm may be a little worse for some minutes. False in evidence of a version that did not consider
	// that.
	strains bool
	// rules is the ratio that a pass rules out if that is not the margin; 0 otherwise.
	rules float64
}

// The constant difference of good versions (the standard deviation of the log ratio): the least that is assumed, and
// the default if replicas could not be distinguished.
const (
	leastArm    = 0.03
	supposedArm = 0.05
)

// How long an incident of one replica is assumed to last, in seconds: if nothing is known, at least if the history of
// replicas shows incidents, and if it shows none.
const (
	supposedIncident = 45
	leastIncident    = 60
	briefIncident    = 30
)

// suppose derives the noise from the pasts. History counts for more than releases: at each length, a release's own
// noise is used only if it is clearly less than that of history, since noise that both arms share cancels in a release.
func suppose(m *metric, pasts []judge.Past) noise {
	n := supposeAll(m, pasts)
	n.few, n.chill = m.supposedFew(pasts), m.supposedChill(pasts)
	n.strains = true
	n.calm = (m.comparing == judge.Counts || m.comparing == judge.Histogram) && !m.Goal && statespace.Restless(m.model(&n).Wander)
	return n
}

func supposeAll(m *metric, pasts []judge.Past) noise {
	n := noise{clusters: 1, incident: supposedIncident}
	var history *judge.Past
	var releases [len(statespace.Lengths)]statespace.Blocks
	for i := range pasts {
		p := &pasts[i]
		if !isPast(p) {
			continue
		}
		n.learned = true
		n.rate = p.Rate
		if !p.Release {
			history = p
			continue
		}
		for k := range releases {
			releases[k] = releases[k].Plus(statespace.Blocks(p.Blocks[k]))
		}
	}
	n.users = m.supposedUsers(history)
	n.arm = m.armsOf(pasts)
	if !n.learned || !m.hasPast() {
		n.wander = supposed(m)
		return n
	}
	var upper [len(statespace.Lengths)]float64
	for k := range upper {
		upper[k] = -1
		surely := false
		if history != nil && history.Rate > 0 { // without bad events the rate cannot have varied
			if v, ok := bound(statespace.Blocks(history.Blocks[k]), statespace.Low10, max(history.Clusters, 1)); ok {
				upper[k] = v
				surely = statespace.Blocks(history.Blocks[k]).Surely(max(history.Clusters, 1))
			}
		}
		if m.comparing == judge.Objective {
			continue
		}
		if v, ok := bound(releases[k], statespace.Low5, 1); ok && (history == nil || 3*v/2 < upper[k]) {
			upper[k] = v / 2 // of one of the two arms
			surely = false
		}
		if b := history; surely && b.Replicas < 2 && b.Users == 0 {
			n.lumps = b.Blocks[k].Variance / (b.Blocks[k].Count * statespace.Lengths[k] * b.Rate)
		}
	}
	if slices.Max(upper[:]) < 0 { // no length has enough data
		return noise{clusters: 1, incident: supposedIncident, wander: supposed(m), users: n.users, arm: n.arm}
	}
	for k, v := range upper {
		if v < 0 { // unknown at this length: the assumption stays
			upper[k] = statespace.Varies(supposed(m), k)
		}
	}
	var minute float64
	n.wander, minute = statespace.Fit(upper)
	if history == nil {
		return n
	}
	n.take(history, minute)
	return n
}

// take takes replicas, clusters and incidents from a history; minute is the relative variance over a minute due to
// clustered events.
func (n *noise) take(history *judge.Past, minute float64) {
	n.clusters, n.replicas, n.spread = max(history.Clusters, 1), history.Replicas, history.Spread
	if b := history.Blocks[0]; b.Count > 0 { // the number of events at a time that makes a minute vary that much
		n.clusters = min(max(n.clusters, 1+minute*b.Variance/b.Count), mostClusters)
	}
	switch {
	case history.Incident > 0:
		n.incident = max(leastIncident, history.Incident)
	case history.Replicas >= 2:
		n.incident = briefIncident
	}
}

// enough is how many blocks of a length it takes to say how a rate varies over it. With fewer the bound is anything
// from nothing to far too much.
const enough = 8

func bound(b statespace.Blocks, low, clusters float64) (float64, bool) {
	if b.Count < enough {
		return 0, false
	}
	return b.Upper(low, clusters)
}

// mostSupposed bounds the assumed variance of the log rate; beyond it nothing could be decided anyway.
const mostSupposed = 4

// supposed is the default assumption: each arm wanders by the metric's noise, most of it within minutes.
func supposed(m *metric) (wander [len(statespace.Lengths)]float64) {
	if !m.hasPast() {
		return wander // estimated from look to look, or not needed
	}
	one := min(m.Noise*m.Noise, mostSupposed)
	return [...]float64{0.3 * one, 0.6 * one, 0.1 * one}
}

// model is the noise in the form of the filter: for the log ratio of two arms, or of one arm and an objective.
func (m *metric) model(n *noise) statespace.Model {
	arms := 2.0
	if m.comparing == judge.Objective {
		arms = 1
	}
	out := statespace.Model{
		Arm: supposedArm, Cold: m.Cold, Clusters: n.clusters, Incident: n.incident, Goal: m.Goal, Users: n.users,
		Few: n.few, Chill: n.chill, Calm: n.calm, Strains: n.strains,
	}
	if slices.Max(n.wander[:]) > 0 {
		out.Lumps = n.lumps
	}
	for i, w := range n.wander {
		out.Wander[i] = arms * w
	}
	if n.arm > 0 {
		out.Arm = n.arm
	}
	if n.replicas > 0 {
		canary := float64(max(n.canary, 1))
		out.Arm = max(leastArm, n.spread*math.Sqrt(1/canary+1/float64(n.replicas)))
	}
	return out
}

// How earlier releases determine the difference of good versions: the assumed difference counts as supposedReleases
// releases, a release counts in full if it knows its ratio much better than surely, and no difference counts as more
// than mostApart.
const (
	supposedReleases = 2.0
	surely           = 0.1
	mostApart        = 0.4
)

// armsOf is how much good versions have differed in earlier releases; 0 if there are none. Only differences for the
// worse count, and double: a canary that ended better may really have been better, which is no noise.
func (m *metric) armsOf(pasts []judge.Past) float64 {
	if m.comparing != judge.Counts {
		return 0
	}
	squares, releases := supposedReleases*supposedArm*supposedArm, supposedReleases
	for i := range pasts {
		p := &pasts[i]
		if !p.Release || p.Unsure <= 0 || !isPast(p) {
			continue
		}
		w := 1 / (1 + p.Unsure/(surely*surely))
		w *= w
		releases += w
		if d := min(p.Apart, mostApart); d > 0 {
			squares += w * 2 * max(d*d-p.Unsure, 0)
		}
	}
	if releases == supposedReleases {
		return 0
	}
	return max(leastArm, math.Sqrt(squares/releases))
}

// supposedUsers is the variance due to the number of users, for a metric with groups of users.
func (m *metric) supposedUsers(history *judge.Past) float64 {
	switch {
	case !m.Users || m.comparing != judge.Counts:
		return 0
	case history != nil && history.Users > 0:
		return history.Users
	}
	return fewUsers
}

// The prior probability of the world of few users: if nothing is known, at least, and at most; and how far one release
// that ended well may move its log odds.
const (
	evenly    = 0.5
	leastFew  = 0.001
	mostFew   = 0.9
	mostOfOne = 3.0
)

// supposedFew is the prior probability of the world of few users, if the arms are divided by users whose groups are
// unknown. It follows from releases that ended well: with few users their ratios end anywhere, with many they end close
// to 1. A goal that is reached also ends away from 1, so metrics with a goal do not have that world.
func (m *metric) supposedFew(pasts []judge.Past) float64 {
	if !m.dividedByUsers() {
		return 0
	}
	odds := math.Log(evenly / (1 - evenly))
	for i := range pasts {
		p := &pasts[i]
		if !p.Release || p.Unsure <= 0 || p.Weight <= 0 || !isPast(p) {
			continue
		}
		many := p.Unsure + supposedArm*supposedArm
		few := many + statespace.FewApart(p.Weight)
		d := p.Apart * p.Apart / 2
		odds += max(-mostOfOne, min(d/many-d/few-math.Log(few/many)/2, mostOfOne))
	}
	return max(leastFew, min(1/(1+math.Exp(-odds)), mostFew))
}

// mayBeCold is the prior probability of a cold start where earlier releases began warm. Warm starts of the past promise
// nothing: with less, a deploy that begins ten times as slow as it goes on was rolled back too often.
const mayBeCold = 0.5

// supposedChill is the prior probability of a cold start if earlier releases are likelier to have begun warm. 0 if they are
// not: then every row allows for a cold start. The log odds keep to what one release may move, so that one that began cold
// outweighs any number of warm ones.
func (m *metric) supposedChill(pasts []judge.Past) float64 {
	if !m.hasStarts() {
		return 0
	}
	odds := 0.0
	for i := range pasts {
		if p := &pasts[i]; p.Release && isPast(p) {
			odds = max(-mostOfOne, min(odds+p.Began, mostOfOne))
		}
	}
	if odds >= 0 {
		return 0
	}
	return mayBeCold
}

// hasStarts reports whether the metric's starts may be cold, and earlier ones tell.
func (m *metric) hasStarts() bool { return m.Cold && !m.Goal && m.comparing == judge.Counts }

// dividedByUsers reports whether the metric has the world of few users.
func (m *metric) dividedByUsers() bool {
	return m.Sticky && !m.Users && !m.Goal && m.comparing == judge.Counts
}

// fewUsers is the variance assumed if nothing is known about the users: that of twenty users who either have errors or
// have none.
const fewUsers = 0.05

// mostClusters bounds how many events are assumed to come at a time.
const mostClusters = 1e6

// isPast reports whether p can have been learned from anything.
func isPast(p *judge.Past) bool {
	some := false
	for i, b := range slices.Concat(p.Blocks[:], p.Parts[:]) {
		for _, x := range [...]float64{b.Squares, b.Variance, b.Weight, b.Fourth, b.Count} {
			if !between(x, 0, mostSquares) {
				return false
			}
		}
		some = some || i < len(p.Blocks) && b.Count >= 2
	}
	return some && between(p.Rate, 0, 1) && between(p.Users, 0, mostWander) && between(p.Spread, 0, mostWander) &&
		between(p.Clusters, 0, mostCount) &&
		between(p.Incident, 0, 86400) && between(p.Apart, -mostLog, mostLog) && between(p.Unsure, 0, mostWander) &&
		between(p.Weight, 0, 1) && between(p.Began, -mostOfOne, mostOfOne) && p.Replicas >= 0 && p.Replicas <= 1e6
}

// lesson is what later releases learn from this comparison.
func (c *comparison) lesson(m *metric, n *noise) (judge.Past, bool) {
	p := judge.Past{Release: true, Rate: min(c.baselineRate(), 1)}
	if c.begun {
		p.Apart, p.Unsure = c.state.Ended()
		p.Apart, p.Unsure = max(-mostLog, min(p.Apart, mostLog)), min(p.Unsure, mostWander)
		if m.hasStarts() {
			model, y := m.model(n), &c.young.sums
			p.Began = max(-mostOfOne, min(model.Began(y[0], y[1], y[2], y[3], p.Apart, p.Unsure), mostOfOne))
		}
	}
	for i := range c.teaches {
		p.Blocks[i] = judge.Blocks(c.teaches[i].blocks)
	}
	return p, isPast(&p)
}

// hasPast reports whether the metric counts bad events. How other values wander shows in the looks, if it matters.
func (m *metric) hasPast() bool { return m.comparing != judge.Gauge && m.comparing != judge.Mean }

// History implements [judge.Judge]: how much the rates of the version in service wander beyond chance in blocks of 1, 5
// and 15 minutes, and how much its replicas differ.
func (j *Judge) History(of map[string]judge.History) map[string]judge.Past {
	out := map[string]judge.Past{}
	for i := range j.metrics {
		m := &j.metrics[i]
		h, ok := of[m.Name]
		if !ok || !m.hasPast() || !usableHistory(&h) {
			continue
		}
		if p := m.past(&h); isPast(&p) {
			out[m.Name] = p
		}
	}
	return out
}

func usableHistory(h *judge.History) bool {
	if !between(h.Seconds, leastSeconds, 86400) {
		return false
	}
	for _, s := range slices.Concat([]judge.Sums{h.Baseline}, h.Replicas, h.Parts) {
		if len(s.Bad) != len(s.Total) || len(s.Bad) != len(h.Baseline.Bad) {
			return false
		}
		for i := range s.Bad {
			if !isCount(s.Bad[i]) || !isCount(s.Total[i]) {
				return false
			}
		}
	}
	return true
}

func (m *metric) past(h *judge.History) judge.Past {
	var bad, total float64
	for i := range h.Baseline.Bad {
		bad += h.Baseline.Bad[i]
		total += h.Baseline.Total[i]
	}
	p := judge.Past{}
	if total <= 0 {
		return p
	}
	p.Rate = min(bad/total, 1)
	p.Blocks = blocksOf(&h.Baseline, h.Seconds)
	if m.By != "" {
		compareParts(h, &p)
	}
	switch {
	case len(h.Replicas) >= 2 && m.Users:
		compareUsers(h, &p)
	case len(h.Replicas) >= 2:
		compareReplicas(h, &p)
	}
	return p
}

// blocksOf returns the blocks of intervals of the given seconds: how far each is from the number expected by the
// overall rate.
func blocksOf(s *judge.Sums, seconds float64) (out [len(statespace.Lengths)]judge.Blocks) {
	bad, total := 0.0, 0.0
	for i := range s.Bad {
		bad += s.Bad[i]
		total += s.Total[i]
	}
	rate := (bad + 0.5) / (total + 1)
	for k, length := range statespace.Lengths {
		n := max(int(math.Round(length/seconds)), 1)
		var b statespace.Blocks
		for i := 0; i+n <= len(s.Bad); i += n {
			x, of := 0.0, 0.0
			for j := i; j < i+n; j++ {
				x += s.Bad[j]
				of += s.Total[j]
			}
			b.Add(x-rate*of, rate*of)
		}
		out[k] = judge.Blocks(b)
	}
	return out
}

// compareReplicas fills in how much the replicas differ. A minute in which one has far more bad events than the others
// is an incident of that replica, and counts only as such.
func compareReplicas(h *judge.History, p *judge.Past) {
	n := len(h.Baseline.Bad)
	var bads, totals []float64
	clusters := dispersion{length: max(int(math.Round(300/h.Seconds)), 1)}
	runs, illMinutes := 0.0, 0.0
	for _, r := range h.Replicas {
		bad, total, ill := 0.0, 0.0, false
		for i := range n {
			expected := r.Total[i] * p.Rate
			if r.Bad[i] > 6*expected+8 {
				illMinutes++
				if !ill {
					runs++
				}
				ill = true
				continue
			}
			ill = false
			bad += r.Bad[i]
			total += r.Total[i]
		}
		if total > 0 {
			bads, totals = append(bads, bad), append(totals, total)
			clusters.of(&r, bad/total, p.Rate)
		}
	}
	p.Clusters = clusters.value()
	p.Replicas = len(bads)
	p.Spread = spreadOf(bads, totals, p.Clusters)
	if runs > 0 {
		p.Incident = illMinutes / runs * h.Seconds
		if p.Incident < 1.5*h.Seconds { // no longer than a minute or two: a restart
			p.Incident = 0
		}
	}
}

// compareUsers fills in how much groups of users differ: the relative variance of the overall rate that comes from the
// small number of users who matter, by the variance of a ratio between clusters.
//
// Cochran, Sampling Techniques, 1977, chapter 6.
func compareUsers(h *judge.History, p *judge.Past) {
	k, squares, fourth, all := 0.0, 0.0, 0.0, 0.0
	clusters := dispersion{length: max(int(math.Round(300/h.Seconds)), 1)}
	for _, r := range h.Replicas {
		bad, total := 0.0, 0.0
		for i := range r.Bad {
			bad += r.Bad[i]
			total += r.Total[i]
		}
		if total <= 0 {
			continue
		}
		d := bad - p.Rate*total
		k++
		squares += d * d
		fourth += d * d * d * d
		all += bad
		clusters.of(&r, bad/total, 1)
	}
	p.Clusters = clusters.value()
	if k < 2 || all <= 0 || fourth <= 0 {
		return
	}
	groups := max(min(squares*squares/fourth, k-1), 1.5) // the effective number of groups
	p.Users = max(squares*k/(k-1)-p.Clusters*all, 0) / (all * all) * statespace.Inflate(groups)
}

// dispersion is the variance of single replicas' bad events in blocks of some minutes, divided by their mean: 1 if the
// events are independent.
type dispersion struct {
	length      int
	squares, df float64
}

func (d *dispersion) of(r *judge.Sums, rate, all float64) {
	for i := 0; i+d.length <= len(r.Bad); i += d.length {
		x, n, ill := 0.0, 0.0, false
		for j := i; j < i+d.length; j++ {
			ill = ill || r.Bad[j] > 6*r.Total[j]*all+8
			x += r.Bad[j]
			n += r.Total[j]
		}
		if e := rate * n; e > 0 && !ill {
			d.squares += (x - e) * (x - e) / e
			d.df++
		}
	}
}

func (d *dispersion) value() float64 {
	if d.df < 8 {
		return 1
	}
	return max(1, d.squares/d.df)
}

// spreadOf is the standard deviation of the replicas' rates, relative to their mean, beyond chance.
func spreadOf(bad, total []float64, clusters float64) float64 {
	k := float64(len(bad))
	if k < 2 {
		return 0
	}
	mean, chance := 0.0, 0.0
	for i := range bad {
		mean += bad[i] / total[i] / k
	}
	if mean <= 0 {
		return 0
	}
	squares := 0.0
	for i := range bad {
		d := bad[i]/total[i] - mean
		squares += d * d / (k - 1)
		chance += clusters * mean / total[i] / k
	}
	return math.Sqrt(max(squares-chance, 0)) / mean
}

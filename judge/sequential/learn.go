package sequential

import (
	"math"
	"slices"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// noise is what is known of a metric's noise before the first look. It has no pointers and is kept with the evidence.
type noise struct {
	learned bool
	// wander are the variances of one arm's log rate that come and go within 45, 200 and 900 seconds.
	wander   [len(statespace.Lengths)]float64
	clusters float64
	incident float64
	// lumps is the exposure a second at which the history was seen, where what wanders may be events that come in lumps; 0
	// where it is not.
	lumps float64
	// users is the relative variance of the rate that comes from the number of users, 0 where that is of no matter.
	users float64
	// few is what the world of few users is worth, 0 where the arms are not divided by users or their groups are known.
	few float64
	// rate is the baseline's share of bad events, 0 where it is not known.
	rate float64
	// arm is what good versions differ by for as long as they live, a standard deviation of the log ratio, where earlier
	// releases have shown it; 0 where they have not.
	arm float64
	// replicas and spread: how many replicas the version in service has, and what they differ by; 0 if unknown.
	replicas int
	spread   float64
	// canary is how many replicas the canary had in the first look; 0 if unknown, which counts as one.
	canary int
	// calm: what wanders may be common to both arms.
	calm bool
	// strains: one arm may be a little worse for some minutes. False in evidence of a version that did not know of it.
	strains bool
	// rules is the ratio that a pass rules out where that is not the margin; 0 otherwise.
	rules float64
}

// What good versions are supposed to differ by for as long as they live (the standard deviation of the log ratio): at
// least, and where the replicas have not been told apart.
const (
	leastArm    = 0.03
	supposedArm = 0.05
)

// How long an incident of one replica is supposed to last, in seconds: where nothing is known, at least where the history of
// replicas shows some, and where it shows none.
const (
	supposedIncident = 45
	leastIncident    = 60
	briefIncident    = 30
)

// suppose is what the pasts say. History is worth more than releases: a release's own noise counts at a length only
// where it is clearly less than what history says, because what both arms share cancels there.
func suppose(m *metric, pasts []judge.Past) noise {
	n := supposeAll(m, pasts)
	n.few = m.supposedFew(pasts)
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
	if !n.learned || m.comparing == judge.Gauge {
		n.wander = supposed(m)
		return n
	}
	var upper [len(statespace.Lengths)]float64
	for k := range upper {
		upper[k] = -1
		surely := false
		if history != nil && history.Rate > 0 { // where nothing bad happened it cannot have varied
			if v, ok := bound(statespace.Blocks(history.Blocks[k]), statespace.Low10, max(history.Clusters, 1)); ok {
				upper[k] = v
				surely = statespace.Blocks(history.Blocks[k]).Surely(max(history.Clusters, 1))
			}
		}
		if m.comparing == judge.Objective {
			continue
		}
		if v, ok := bound(releases[k], statespace.Low5, 1); ok && (history == nil || 3*v/2 < upper[k]) {
			upper[k] = v / 2 // of one of two arms
			surely = false
		}
		if b := history; surely && b.Replicas < 2 && b.Users == 0 && b.Rate > 0 {
			n.lumps = b.Blocks[k].Variance / (b.Blocks[k].Count * statespace.Lengths[k] * b.Rate)
		}
	}
	if slices.Max(upper[:]) < 0 { // of no length there is enough to go by
		return noise{clusters: 1, incident: supposedIncident, wander: supposed(m), users: n.users, arm: n.arm}
	}
	for k, v := range upper {
		if v < 0 { // what is not known at this length is what is supposed
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

// take takes over what a history tells of replicas, clusters and incidents; minute is the relative variance over a minute
// of events that come together.
func (n *noise) take(history *judge.Past, minute float64) {
	n.clusters, n.replicas, n.spread = max(history.Clusters, 1), history.Replicas, history.Spread
	if b := history.Blocks[0]; b.Count > 0 { // as many events at a time as make a minute vary by so much
		n.clusters = min(max(n.clusters, 1+minute*b.Variance/b.Count), mostClusters)
	}
	switch {
	case history.Incident > 0:
		n.incident = max(leastIncident, history.Incident)
	case history.Replicas >= 2:
		n.incident = briefIncident
	}
}

// enough is how many blocks of a length say how a rate varies over it. Of fewer the bound is anything from nothing to far
// too much.
const enough = 8

func bound(b statespace.Blocks, low, clusters float64) (float64, bool) {
	if b.Count < enough {
		return 0, false
	}
	return b.Upper(low, clusters)
}

// mostSupposed bounds the variance of the log rate that is supposed: beyond it nothing could be decided anyway.
const mostSupposed = 4

// supposed is the default: each arm wanders by the metric's noise, most of it within minutes.
func supposed(m *metric) (wander [len(statespace.Lengths)]float64) {
	if m.comparing == judge.Gauge {
		return wander // estimated from look to look
	}
	one := min(m.Noise*m.Noise, mostSupposed)
	return [...]float64{0.3 * one, 0.6 * one, 0.1 * one}
}

// model is the noise as the filter takes it: of the log ratio of two arms, or of one against an objective.
func (m *metric) model(n *noise) statespace.Model {
	arms := 2.0
	if m.comparing == judge.Objective {
		arms = 1
	}
	out := statespace.Model{Arm: supposedArm, Cold: m.Cold, Clusters: n.clusters, Incident: n.incident, Goal: m.Goal, Users: n.users, Few: n.few, Calm: n.calm, Strains: n.strains}
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

// What earlier releases say of the difference of good versions: the supposed one counts like so many releases, one release
// in full where it knows its ratio much better than surely, and no difference is taken for more than mostApart.
const (
	supposedReleases = 2.0
	surely           = 0.1
	mostApart        = 0.4
)

// armsOf is what good versions have been seen to differ by; 0 where no release says. Only those count that ended worse than
// stable, each for two: one that ended better may have been better, and that is no noise.
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

// supposedUsers is what is known of the users of a metric that tells them apart.
func (m *metric) supposedUsers(history *judge.Past) float64 {
	switch {
	case !m.Users || m.comparing != judge.Counts:
		return 0
	case history != nil && history.Users > 0:
		return history.Users
	}
	return fewUsers
}

// What the world of few users is worth before anything is known, and at least and at most; and how far one release that
// ended well may move the odds, a natural logarithm.
const (
	evenly    = 0.5
	leastFew  = 0.001
	mostFew   = 0.9
	mostOfOne = 3.0
)

// supposedFew is what the world of few users is worth where the arms are divided by users and their groups are not known.
// Releases that ended well tell: of few users the ratio ends anywhere, of many it ends close to 1. A goal that is reached
// ends elsewhere too, so metrics with a goal do not have that world.
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

// dividedByUsers says whether the metric has the world of few users.
func (m *metric) dividedByUsers() bool {
	return m.Sticky && !m.Users && !m.Goal && m.comparing == judge.Counts
}

// fewUsers is what users are supposed to differ by where nothing is known of them: as twenty would of whom each has errors
// or none.
const fewUsers = 0.05

// mostClusters bounds how many events are supposed to come at a time.
const mostClusters = 1e6

// isPast says whether p is something that can have been taught.
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
	return some && between(p.Rate, 0, 1) && between(p.Users, 0, mostWander) && between(p.Spread, 0, mostWander) && between(p.Clusters, 0, mostCount) &&
		between(p.Incident, 0, 86400) && between(p.Apart, -mostLog, mostLog) && between(p.Unsure, 0, mostWander) && between(p.Weight, 0, 1) && p.Replicas >= 0 && p.Replicas <= 1e6
}

// lesson is what a release's comparison has shown.
func (c *comparison) lesson() (judge.Past, bool) {
	p := judge.Past{Release: true, Rate: min(c.baselineRate(), 1)}
	if c.begun {
		p.Apart, p.Unsure = c.state.Ended()
		p.Apart, p.Unsure = max(-mostLog, min(p.Apart, mostLog)), min(p.Unsure, mostWander)
	}
	for i := range c.teaches {
		p.Blocks[i] = judge.Blocks(c.teaches[i].blocks)
	}
	return p, isPast(&p)
}

// History is what the version in service has shown before the release: how its rates wander in blocks of 1, 5 and 15
// minutes beyond chance, and what its replicas differ by.
func (j *Judge) History(of map[string]judge.History) map[string]judge.Past {
	out := map[string]judge.Past{}
	for i := range j.metrics {
		m := &j.metrics[i]
		h, ok := of[m.Name]
		if !ok || m.comparing == judge.Gauge || !usableHistory(&h) {
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

// blocksOf are the blocks of intervals of so many seconds: how far each is from what the rate of all makes expect.
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

// compareReplicas fills in what the replicas differ by. A minute in which one has far more bad events than the others
// is an incident of it, and counts only as that.
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
		if p.Incident < 1.5*h.Seconds { // within a minute or two: a restart
			p.Incident = 0
		}
	}
}

// compareUsers fills in what groups of users differ by: the relative variance of the rate of all that comes from there
// being so few users who count, by the variance of a ratio between clusters.
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
	groups := max(min(squares*squares/fourth, k-1), 1.5) // as many as count
	p.Users = max(squares*k/(k-1)-p.Clusters*all, 0) / (all * all) * statespace.Inflate(groups)
}

// dispersion is the variance over the mean of the bad events of single replicas in blocks of some minutes: 1 where they
// come one by one.
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

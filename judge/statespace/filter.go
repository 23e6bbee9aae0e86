// Package statespace is the model of probability under the sequential judge: how likely are the counts of a look if the
// canary is no worse than its baseline, and how likely if it is worse by a given ratio? The log ratio of two good
// versions wanders, keeps a small constant offset, starts cold and has incidents. Each hypothesis has a Gaussian belief
// about these components, which every look updates.
//
// It decides nothing: package judge/sequential turns a [Standing] into a verdict. Nor does it know the names of
// metrics. Start reading at [Model.Add]. The section "In formulas" of docs/statistics.md is the specification, and
// testdata/sequential/reference.py a second implementation of it.
package statespace

import "math"

// The alternatives are ratios, canary's rate over baseline's, that are tested against "no worse". Each covers its
// neighbourhood, and the filter finds the ratio within it.
var Alternatives = [alternatives]float64{1.2, 1.4, 1.75, 2.5, 4, 8, 20, 100}

const alternatives = 8

// around is the width of each alternative, as a standard deviation of the log ratio, and prior its prior probability.
var (
	around = [alternatives]float64{0.05, 0.08, 0.12, 0.2, 0.25, 0.4, 0.5, 1}
	prior  = [alternatives]float64{0.04, 0.14, 0.18, 0.20, 0.16, 0.12, 0.08, 0.08}
)

// The rows of the filter: hypotheses about the log ratio, each with a belief of its own.
const (
	null     = 0                    // exactly as good
	first    = 1                    // the first of the alternatives
	better   = first + alternatives // the first of three that are better by a given ratio, or about that
	nulls    = 3                    // how many those are
	passing  = better + nulls       // the first of those that pass: better by exactly a given ratio
	passes   = 3
	atMargin = passing + passes // worse by exactly the margin
	open     = atMargin + 1     // any ratio: this row gives the estimate
	ill      = open + 1         // the null within an incident of one arm
	strained = ill + 1          // the null within a strain of one arm
	rows     = strained + 1
)

// A canary may be better than its baseline, so the null is a mixture of as good (mostly) and better. Otherwise a canary
// that is much better would be as unlikely under the null as one that is much worse.
var (
	betterRatios = [nulls]float64{math.Log(0.85), math.Log(0.5), math.Log(0.1)}
	betterAround = [nulls]float64{0.08, 0.35, 1}
	nullPrior    = [parts]float64{0.94, 0.03, 0.02, 0.01}
	// lumpyPrior is the same if events may come in lumps.
	lumpyPrior = [parts]float64{0.44, 0.03, 0.02, 0.01, inLump: 0.50}
)

// The parts of the null: as good, the three that are better, as good with lumps, as good with shared noise, as good
// with few users, as good after a cold start that earlier releases did not have.
const (
	inLump  = 1 + nulls
	inCalm  = inLump + 1
	inFew   = inCalm + 1
	inChill = inFew + 1
	parts   = inChill + 1
)

// passingRatios holds the log ratios of the rows that pass. They have no width, so that a ratio above the margin
// becomes less likely from atMargin towards them.
var passingRatios = [passes]float64{math.Log(0.85), math.Log(0.6), math.Log(0.3)}

// Constants of the model; docs/statistics.md says what each is for.
const (
	// Incidents of one arm: how often they begin (and how often if recurring incidents are the fault), how long they
	// last, how long most requests fail in them, their size in the log ratio, how they wander, and the probability that
	// their size changes from one look to the next.
	begins        = 1.0 / 3600
	beginsAgain   = 1.0 / 200
	goesOn        = 30.0
	goesOnHeavily = 5.0
	size          = 2.5
	changes       = 0.10
	wanders       = 0.1 // in ten seconds
	// again is the recurring fault's share of the alternatives.
	again = 0.1

	// Start times of faults: the prior mass on the first look, on each of the first changes of weight, and on all other
	// looks together, however long the release lasts.
	atFirst  = 0.5
	atChange = 1.0 / 16
	changing = 3
	later    = 0.25
	hour     = 3600.0

	coldest   = 1.5 // the standard deviation of the log ratio due to a cold start
	anything  = 2.5 // the prior standard deviation of the row that estimates
	moreThan  = 1.05
	doubtful  = 0.2 // the better row's share of what passes
	unlimited = 20  // margins beyond it are tested by the absolute difference as well
)

var forgetting = [most]float64{45, 200, 900, math.Inf(1), math.Inf(1), 60, 240}

// Model describes how the ratio of two good versions wanders. It is read-only.
type Model struct {
	// Wander holds the variances of the log ratio on time scales of 45, 200 and 900 seconds.
	Wander [wandering]float64
	// Arm is the standard deviation of the constant part of the log ratio of two good versions.
	Arm float64
	// Lumps is the exposure per second at which Wander was measured, if the wandering may come from lumps of events,
	// such as one user's retries: an arm with fewer requests then wanders more. 0 if it cannot.
	Lumps float64
	// Calm: the noise may be shared by both arms, and then cancels.
	Calm bool
	// Users is the relative variance of the overall rate that comes from the number of users, if the arms are divided
	// by users; the smaller an arm's share of the users, the larger its variance. 0 if they are divided by requests.
	Users float64
	// Few is the prior probability of the world of few users, if the arms are divided by users of an unknown number. 0
	// if there is no such world.
	Few float64
	// Cold: replicas that have just started may be slow.
	Cold bool
	// Chill is the prior probability that they are, if earlier releases began warm; 0 if nothing is known of that, and
	// then all rows allow for a cold start.
	Chill float64
	// Clusters is how many bad events come at a time, at least 1.
	Clusters float64
	// Incident is how long an incident of one replica goes on, in seconds.
	Incident float64
	// Strains: one arm may be a little worse for some minutes.
	Strains bool
	// Goal: to pass, the canary has to be better.
	Goal bool
}

func (m *Model) components() int {
	switch {
	case m.Cold:
		return most
	case m.Users > 0:
		return users + 1
	}
	return warm
}

// prior returns the prior probability of each part of the null.
func (m *Model) prior() [parts]float64 {
	p := nullPrior
	if m.Lumps > 0 {
		p = lumpyPrior
	}
	if m.Calm {
		for i := range p {
			p[i] *= 1 - calmly
		}
		p[inCalm] = calmly
	}
	if m.Few > 0 {
		for i := range p {
			p[i] *= 1 - m.Few
		}
		p[inFew] = m.Few
	}
	if m.Chill > 0 {
		for i := range p {
			p[i] *= 1 - m.Chill
		}
		p[inChill] = m.Chill
	}
	return p
}

// skips reports whether the model has no use for a row.
func (m *Model) skips(row int) bool {
	return !m.Goal && row > passing && row < atMargin || row == strained && !m.Strains
}

// Look is the data of one look.
type Look struct {
	// Seconds since the previous look.
	Seconds float64
	// Starts is the share of the canary that has just started; Turned is set if the weight has changed.
	Starts float64
	Turned bool
	// Weight is the canary's share of the users, where the arms are divided by users.
	Weight float64
	// Margin is the ratio that is worse by the margin, at least 1.
	Margin float64
	// Heavy: most of the canary's requests failed.
	Heavy bool
	// Broken: the canary fails most of the requests that the baseline answers well, which a few users cannot explain.
	Broken bool
	// The canary alone, for the absolute margin: how many bad events the margin allows, and how many there were.
	Allowed, Bad float64
	datum
	silent bool
	// exposed is the exposure of both arms together, or 0 if one of them has none.
	exposed [2]float64
}

// State is the evidence of one comparison. A copy of it is independent.
type State struct {
	rows [rows]belief
	ill  [rows]float64 // the chance that an incident is going on, in each row
	// strain is the probability, under the null, that a strain of one arm is going on.
	strain float64
	// worse holds, for each alternative, the logarithm of the likelihood ratio mixed over start times and weighted by
	// its prior; again is the same for the recurring fault, and againIll its probability of an incident.
	worse    [alternatives]float64
	again    float64
	againIll float64
	// excess is the same for the canary's rate alone against the absolute margin.
	excess [alternatives]float64
	spent  float64 // the prior mass of the start times so far
	turns  float64
	at     float64 // seconds since the first look began
	begun  bool
	// whole holds the log probabilities of all looks: as good, the rows that pass, worse by the margin.
	whole [1 + passes + 1]float64
	// good holds the current weight of each part of the null.
	good   [parts]float64
	calm   *calm   // nil if the model has no such world; never modified, but replaced
	few    *few    // the same
	lumps  *lumps  // the same
	chill  *chill  // the same
	weight float64 // the canary's share of the users
}

// Begin returns the evidence before the first look.
func (m *Model) Begin() State {
	var s State
	for r := range s.rows {
		for i, v := range m.variances() {
			s.rows[r].cov[at(i, i)] = v
		}
	}
	grow(&s.rows[ill], size*size)
	grow(&s.rows[open], anything*anything)
	for i, a := range betterAround {
		grow(&s.rows[better+i], a*a)
	}
	s.good = m.prior()
	if m.Calm {
		s.calm = m.beginCalm()
	}
	if m.Few > 0 {
		s.few = m.beginFew()
	}
	if m.Lumps > 0 {
		s.lumps = &lumps{}
	}
	if m.Chill > 0 {
		s.chill = m.beginChill()
	}
	for i := range s.worse {
		s.worse[i], s.excess[i] = math.Inf(-1), math.Inf(-1)
	}
	s.again = math.Inf(-1)
	return s
}

func grow(b *belief, variance float64) { b.cov[at(arm, arm)] += variance }

// variances holds the stationary variances of the components.
func (m *Model) variances() [most]float64 {
	var v [most]float64
	copy(v[:wandering], m.Wander[:])
	v[arm] = m.Arm * m.Arm
	return v
}

// known is the log ratio that a row assumes.
func known(row int, margin float64) float64 {
	switch {
	case row >= first && row < first+alternatives:
		return logAlternatives[row-first]
	case row >= better && row < passing:
		return betterRatios[row-better]
	case row >= passing && row < atMargin:
		return passingRatios[row-passing]
	case row == atMargin:
		return math.Log(margin)
	}
	return 0
}

var (
	logAlternatives = logs(Alternatives)
	logPrior        = logs(prior)
)

func logs(x [alternatives]float64) (l [alternatives]float64) {
	for i := range x {
		l[i] = math.Log(x[i])
	}
	return l
}

// Add updates the state with one look.
func (m *Model) Add(s *State, l *Look) {
	d := m.components()
	s.calm, s.few, s.lumps, s.chill = copied(s.calm), copied(s.few), copied(s.lumps), copied(s.chill)
	m.pass(s, l, d)
	m.start(s, l, d)
	s.at += l.Seconds
	s.begun = true
	m.exceed(s, l)
	lasts := m.Incident
	if l.Heavy && !l.silent {
		lasts = min(lasts, goesOnHeavily)
	}
	stays := math.Exp(-l.Seconds / lasts)
	if l.silent {
		m.fade(s, l.Seconds)
		return
	}
	m.weigh(s, l, d, stays)
}

// pass advances every row by the time of the look. Replicas that have just started may be cold.
func (m *Model) pass(s *State, l *Look, d int) {
	var forgets, gains [most]float64
	rest := m.variances()
	for i := range d {
		forgets[i] = math.Exp(-l.Seconds / forgetting[i])
		if i != arm {
			gains[i] = rest[i] * (1 - forgets[i]*forgets[i])
		}
	}
	begins := coldest
	if m.Chill > 0 {
		begins = warmest
	}
	for i := cold; i < d; i++ {
		gains[i] = starting(begins, l.Starts)
	}
	if d > users {
		forgets[users], gains[users] = m.divide(s, l)
	}
	mayBeCold := gains
	for i := cold; i < d; i++ {
		mayBeCold[i] = starting(coldest, l.Starts)
	}
	s.rows[open].pass(d, &forgets, &mayBeCold) // the estimate allows for a cold start in any case
	for r := range s.rows {
		if !m.skips(r) && r != open {
			s.rows[r].pass(d, &forgets, &gains)
		}
	}
	if m.Lumps > 0 {
		m.lump(s, l)
	}
	if m.Calm {
		s.calm.pass(d, &forgets, &gains)
	}
	if m.Few > 0 {
		s.few.pass(l, d, &forgets, &gains)
	}
	if m.Chill > 0 {
		m.mayBegin(s, l.Starts)
		passAll(s.chill.rows[:], d, &forgets, &mayBeCold)
	}
}

// divide adjusts the difference between the arms' users to a change of weight: the present users stay, and others join.
func (m *Model) divide(s *State, l *Look) (stays, gains float64) {
	if m.Users <= 0 {
		return 1, 0
	}
	return divided(&s.weight, l.Weight, func(w float64) float64 { return m.Users / (w * (1 - w)) })
}

// divided is divide with apart, the variance of the difference at a weight. It stores the weight.
func divided(at *float64, weight float64, apart func(weight float64) float64) (stays, gains float64) {
	was, is := *at, max(leastWeight, min(weight, 1-leastWeight))
	if is == was {
		return 1, 0
	}
	*at = is
	if was > 0 {
		stays = min(1, was/is)
		gains = stays * stays * apart(was)
	}
	return stays, max(apart(is)-gains, 0)
}

// leastWeight is the smallest share of the users that is assumed.
const leastWeight = 1e-3

// mass is the prior mass of start times that falls on the look.
func (s *State) mass(l *Look) float64 {
	switch {
	case !s.begun:
		return atFirst
	case l.Turned && s.turns < changing:
		return atChange
	case l.Turned:
		k := s.turns - changing + 1
		return atChange / (k * (k + 1))
	}
	until := s.at + l.Seconds
	return later * (hour/(hour+s.at) - hour/(hour+until))
}

// start lets alternatives begin with the look, since a fault may be as old as the release or begin now. A beginning
// alternative takes over the belief of the null.
func (m *Model) start(s *State, l *Look, d int) {
	w := s.mass(l)
	if s.begun && l.Turned {
		s.turns++
	}
	s.spent += w
	fresh := logPrior0 + math.Log(w*(1-s.good[inCalm]))
	from := &s.rows[null]
	if m.Calm {
		s.calm.start(d, logPrior0+math.Log(w*s.good[inCalm]))
	}
	for i := range alternatives {
		more := fresh + logPrior[i]
		total := LogAdd(s.worse[i], more)
		f := math.Exp(more - total)
		s.worse[i] = total
		to := from.copyWith(around[i] * around[i])
		s.rows[first+i].blend(d, f, &to)
		s.ill[first+i] = mix(s.ill[first+i], s.ill[null], f)
		s.excess[i] = LogAdd(s.excess[i], math.Log(w)-logEight)
	}
	more := math.Log(w * again)
	total := LogAdd(s.again, more)
	s.againIll = mix(s.againIll, s.ill[null], math.Exp(more-total))
	s.again = total
}

var (
	logPrior0 = math.Log(1 - again)
	logEight  = math.Log(alternatives)
	logAgain  = math.Log(again)
)

// mix is the probability of a mixture of a and, with the share f, b.
func mix(a, b, f float64) float64 { return max(0, min(1, a+f*(b-a))) }

func (b *belief) copyWith(variance float64) belief {
	c := *b
	grow(&c, variance)
	return c
}

// exceed tests the canary's rate alone: several times the absolute margin against exactly that margin.
func (m *Model) exceed(s *State, l *Look) {
	if l.Allowed <= 0 {
		return
	}
	for i, r := range Alternatives {
		s.excess[i] += (l.Bad*logAlternatives[i] - l.Allowed*(r-1)) / m.Clusters
	}
}

// weigh tests the look against every row.
func (m *Model) weigh(s *State, l *Look, d int, stays float64) {
	fresh := s.rows[null].copyWith(size * size) // an incident that begins, or changes its size
	grow(&s.rows[ill], min(wanders*wanders*l.Seconds/10, 1))
	freshP := m.hold(&fresh, &l.datum, 0, d)
	illP := m.hold(&s.rows[ill], &l.datum, 0, d)
	onset := -math.Expm1(-begins * l.Seconds)
	f := s.young(stays, onset, illP.log, freshP.log)
	var common inCommon
	if m.Calm {
		common = m.holdCalm(s.calm, l, d)
	}
	alike := m.isGood(s, l, stays, onset, &illP, &freshP, &common, d)
	if m.Calm {
		s.calm.learn(&common, stays, onset, alike, d)
	}
	for r := range rows {
		if r == null || r >= better && r < passing || r >= ill || m.skips(r) {
			continue
		}
		p := m.hold(&s.rows[r], &l.datum, known(r, l.Margin), d)
		inIll, sum := incident(s.ill[r], stays, onset, p.log, illP.log, freshP.log)
		switch {
		case r < better:
			s.worse[r-first] += p.log - alike
		case r < open:
			s.whole[1+r-passing] += sum
		}
		p.learn(&s.rows[r], d, 1-inIll)
		s.ill[r] = inIll
	}
	illP.learn(&s.rows[ill], d, 1)
	freshP.learn(&fresh, d, 1)
	s.rows[ill].blend(d, f, &fresh)
}

// held is the result of testing a row against a datum: its log probability, and the update of u.
type held struct {
	log                           float64
	mean, variance, after, spread float64
	with                          [most]float64
}

func (m *Model) hold(b *belief, o *datum, known float64, d int) held {
	var h held
	h.mean, h.variance, h.with = b.sum(d)
	h.log, h.after, h.spread = o.predict(known, h.mean, h.variance)
	return h
}

// learn updates a row with the look, to the extent that the look was no incident.
func (h *held) learn(b *belief, d int, sure float64) {
	shift := h.after - h.mean
	less := sure * (h.variance - h.spread)
	b.learn(d, &h.with, h.variance, sure*shift, less)
}

// within returns the probabilities that an incident continues unchanged, and that one begins or changes its size.
func within(before, stays, onset float64) (same, other float64) {
	on := before * stays
	return on * (1 - changes), (1-on)*onset + on*changes
}

// incident returns the probability that an incident is going on, and the log probability of the look including that.
func incident(before, stays, onset, plain, goingOn, fresh float64) (after, sum float64) {
	same, other := within(before, stays, onset)
	in := LogAdd(math.Log(same)+goingOn, math.Log(other)+fresh)
	sum = LogAdd(math.Log(max(1-same-other, 0))+plain, in)
	return math.Exp(in - sum), sum
}

// forgives is how fast the null forgets that the canary was better, since it may become merely as good. turnsOver is
// how fast it forgets which world it is in, since noise may cease to be shared.
const (
	forgives  = hour
	turnsOver = 10 * hour
)

// isGood tests the look against the null and returns its log probability there, against which the recurring fault is
// tested, too.
func (m *Model) isGood(s *State, l *Look, stays, onset float64, illP, freshP *held, common *inCommon, d int) float64 {
	m.forget(s, l.Seconds)
	var sums [parts]float64
	sums[inLump], sums[inCalm] = m.inLumps(s, l, stays, onset, illP, freshP), math.Inf(-1)
	sums[inFew] = m.inFew(s, l, stays, onset, illP, freshP, d)
	sums[inChill] = m.inChill(s, l, stays, onset, illP, freshP, d)
	if m.Calm {
		_, sum := common.incident(s.calm.ill[calmNull], stays, onset, common.rows[calmNull].log)
		sums[inCalm] = math.Log(s.good[inCalm]) + sum
	}
	all := LogAdd(LogAdd(LogAdd(sums[inLump], sums[inCalm]), sums[inFew]), sums[inChill])
	for i, r := range [...]int{null, better, better + 1, better + 2} {
		p := m.hold(&s.rows[r], &l.datum, known(r, l.Margin), d)
		inIll, sum := incident(s.ill[r], stays, onset, p.log, illP.log, freshP.log)
		if r == null {
			s.comesAgain(l, stays, p.log, sum, illP.log, freshP)
			s.whole[0] += sum
		}
		sure := 1 - inIll
		if r == null && m.Strains {
			sum = m.strains(s, l, sum, d)
			sure *= 1 - s.strain
		}
		sums[i] = math.Log(s.good[i]) + sum
		all = LogAdd(all, sums[i])
		p.learn(&s.rows[r], d, sure)
		s.ill[r] = inIll
	}
	for i := range sums {
		s.good[i] = math.Exp(sums[i] - all)
	}
	s.again -= all
	return all
}

// forget lets what the parts of the null have become worth return to what they were before the first look: slowly from one
// world to another, faster from a better canary to one that is as good.
//
// Herbster and Warmuth, Tracking the best expert, Machine Learning 32 (1998), 151–178: a mixture whose members may change
// with a small chance from look to look is a prediction like any other, and costs as much as that chance.
func (m *Model) forget(s *State, seconds float64) {
	prior := m.prior()
	between, within := -math.Expm1(-seconds/turnsOver), -math.Expm1(-seconds/forgives)
	wandering, wanders := 0.0, 0.0
	for i := range s.good {
		s.good[i] = mix(s.good[i], prior[i], between)
		if i < inLump {
			wandering += prior[i]
			wanders += s.good[i]
		}
	}
	for i := range inLump {
		s.good[i] = mix(s.good[i], prior[i]/wandering*wanders, within)
	}
}

// comesAgain weighs the fault of incidents that come again and again. A bad minute of the baseline is none of the
// canary's.
func (s *State) comesAgain(l *Look, stays, plain, nullSum, goingOn float64, fresh *held) {
	ill, sum := incident(s.againIll, stays, -math.Expm1(-beginsAgain*l.Seconds), plain, goingOn, fresh.log)
	if fresh.after <= 0 {
		sum = min(sum, nullSum)
	}
	s.again += sum
	s.againIll = ill
}

// young is the chance that the incident of this look, if it is one, has just begun or changed its size.
func (s *State) young(stays, onset, goingOn, fresh float64) float64 {
	same, other := within(s.ill[null], stays, onset)
	in := math.Log(other) + fresh
	return math.Exp(in - LogAdd(math.Log(same)+goingOn, in))
}

// Wait lets time pass in which nothing was seen.
func (m *Model) Wait(s *State, seconds float64) {
	if !s.begun {
		return
	}
	s.calm, s.few, s.lumps, s.chill = copied(s.calm), copied(s.few), copied(s.lumps), copied(s.chill)
	weight := s.weight
	if s.few != nil {
		weight = s.few.weight
	}
	m.pass(s, &Look{Seconds: seconds, Weight: weight}, m.components())
	m.fade(s, seconds)
	s.at += seconds
}

// fade lets incidents end in a time that shows nothing.
func (m *Model) fade(s *State, seconds float64) {
	stays := math.Exp(-seconds / m.Incident)
	for r := range s.ill {
		s.ill[r] *= stays
	}
	s.againIll *= stays
	s.relax(seconds)
	s.lumps.fade(stays)
	s.calm.fade(stays)
	s.few.fade(stays)
	s.chill.fade(stays)
}

// copied is a copy of a world that may be changed; nil stays nil.
func copied[World calm | few | lumps | chill](w *World) *World {
	if w == nil {
		return nil
	}
	own := *w
	return &own
}

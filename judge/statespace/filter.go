// Package statespace is the model of probability under the sequential judge: how likely is what a look has counted if the
// canary is no worse than its baseline, and if it is worse by a given ratio? The logarithm of the ratio of two good
// versions wanders, stays apart a little, starts cold and has incidents; a Gaussian belief about these components is
// updated look by look, once for each hypothesis.
//
// It decides nothing: package judge/sequential turns a [Standing] into a verdict. Nor does it know metrics, requests or
// margins by name. Start reading at [Model.Add]; docs/statistics.md, In formulas, is the specification, and
// testdata/sequential/reference.py a second implementation of it.
package statespace

import "math"

// Alternatives are the ratios, canary's rate over baseline's, that are weighed against "no worse". Each covers what is
// around it: the filter finds the ratio between.
var Alternatives = [alternatives]float64{1.2, 1.4, 1.75, 2.5, 4, 8, 20, 100}

const alternatives = 8

// around is how wide each alternative is, as a standard deviation of the log ratio, and prior what it is worth.
var (
	around = [alternatives]float64{0.05, 0.08, 0.12, 0.2, 0.25, 0.4, 0.5, 1}
	prior  = [alternatives]float64{0.04, 0.14, 0.18, 0.20, 0.16, 0.12, 0.08, 0.08}
)

// The rows of the filter: hypotheses about the log ratio, each with a belief of its own.
const (
	null     = 0                    // exactly as good
	first    = 1                    // the first of the alternatives
	better   = first + alternatives // the first of three that are better by so much, or about that
	nulls    = 3                    // how many those are
	passing  = better + nulls       // the first of those that pass: exactly so much better
	passes   = 3
	atMargin = passing + passes // worse by exactly the margin
	open     = atMargin + 1     // any ratio: what is estimated
	ill      = open + 1         // the null within an incident of one arm
	strained = ill + 1          // the null within a strain of one arm
	rows     = strained + 1
)

// A canary may be better than its baseline: the null is a mixture of as good, mostly, and better. Without it one that is
// much better would be as unlikely as one that is much worse.
var (
	betterRatios = [nulls]float64{math.Log(0.85), math.Log(0.5), math.Log(0.1)}
	betterAround = [nulls]float64{0.08, 0.35, 1}
	nullPrior    = [parts]float64{0.94, 0.03, 0.02, 0.01}
	// lumpyPrior is the same where events may come in lumps.
	lumpyPrior = [parts]float64{0.44, 0.03, 0.02, 0.01, inLump: 0.50}
)

// The parts of the null: as good, the three that are better, as good with lumps, as good where what wanders is common to
// both arms, as good where users are few.
const (
	inLump = 1 + nulls
	inCalm = inLump + 1
	inFew  = inCalm + 1
	parts  = inFew + 1
)

// passingRatios are the log ratios of the rows that pass. They have no width, so that the likelihood of a ratio above
// the margin falls off from atMargin to them.
var passingRatios = [passes]float64{math.Log(0.85), math.Log(0.6), math.Log(0.3)}

// Constants of the model; docs/statistics.md says what each is for.
const (
	// Incidents of one arm: how often they begin, and again and again where that is the fault, how long they go on, a
	// while with most requests failing, how large they are (of the log ratio), how they wander, and with what chance
	// they change their size from one look to the next.
	begins        = 1.0 / 3600
	beginsAgain   = 1.0 / 200
	goesOn        = 30.0
	goesOnHeavily = 5.0
	size          = 2.5
	changes       = 0.10
	wanders       = 0.1 // in ten seconds
	// again is the share of the fault that comes again and again among the alternatives.
	again = 0.1

	// Starts: the mass of those at the first look, at each of the first changes of weight and in a release without end
	// otherwise.
	atFirst  = 0.5
	atChange = 1.0 / 16
	changing = 3
	later    = 0.25
	hour     = 3600.0

	coldest   = 1.5 // the cold start: a standard deviation of the log ratio
	anything  = 2.5 // of the row that estimates
	moreThan  = 1.05
	doubtful  = 0.2 // the better row's share of what passes
	unlimited = 20  // margins beyond it are tested by the absolute difference as well
)

var forgetting = [most]float64{45, 200, 900, math.Inf(1), math.Inf(1), 60, 240}

// Model says how a ratio of two good versions wanders. It is read only.
type Model struct {
	// Wander are the variances of the log ratio that come and go within 45, 200 and 900 seconds.
	Wander [wandering]float64
	// Arm is the standard deviation of the log ratio of two good versions that stays.
	Arm float64
	// Lumps is the exposure a second at which Wander was seen, where what wanders may be lumps of events, such as of a user
	// who tries again and again: then an arm with fewer requests wanders more. 0 where it does not.
	Lumps float64
	// Calm: what wanders may be common to both arms, and then cancels.
	Calm bool
	// Users is the relative variance of the rate of all users together that comes from their number: where the arms are
	// divided by users, each has the smaller share of them the more of it. 0 where they are divided by requests.
	Users float64
	// Few is what the world of few users is worth before the first look, where the arms are divided by users and nothing
	// tells how many there are. 0 where there is no such world.
	Few float64
	// Cold: what has just started may be slow.
	Cold bool
	// Clusters is how many bad events come together, at least 1.
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

// prior is what each part of the null is worth before anything was seen.
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
	return p
}

// skips says whether a row has no part in the model.
func (m *Model) skips(row int) bool {
	return !m.Goal && row > passing && row < atMargin || row == strained && !m.Strains
}

// Look is what one look says.
type Look struct {
	// Seconds since the look before.
	Seconds float64
	// Starts is the share of the canary that has just started, Turned tells of a change of weight.
	Starts float64
	Turned bool
	// Weight is the canary's share of the users, where the arms are divided by users.
	Weight float64
	// Margin is the ratio that is worse by the margin, at least 1.
	Margin float64
	// Heavy: most of the canary's requests failed.
	Heavy bool
	// Broken: most of what the baseline answers well fails at the canary, which no few users explain.
	Broken bool
	// Canary's exposure in excess: how many bad events the absolute margin allows of it, how many it had.
	Allowed, Bad float64
	datum
	silent bool
	// exposed is the exposure of both arms, 0 where one has none.
	exposed [2]float64
}

// State is the evidence of one comparison. A copy of it is independent.
type State struct {
	rows [rows]belief
	ill  [rows]float64 // the chance that an incident is going on, in each row
	// strain is the chance that a strain of one arm is going on, in the null.
	strain float64
	// worse are the logarithms of the mixtures over start times of the likelihood ratios, with their prior; again that
	// of the fault that comes again and again, and againIll its chance of an incident.
	worse    [alternatives]float64
	again    float64
	againIll float64
	// excess is the like, of the canary's rate alone against the absolute margin.
	excess [alternatives]float64
	spent  float64 // the mass of the starts so far
	turns  float64
	at     float64 // seconds since the first look began
	begun  bool
	// whole are the logarithms of the probability of all looks: as good, the rows that pass, worse by the margin.
	whole [1 + passes + 1]float64
	// good is what each part of the null has become worth.
	good   [parts]float64
	calm   *calm   // nil where the model has no such world; never changed, but replaced
	few    *few    // the same
	lumps  *lumps  // the same
	weight float64 // the share of the users that is the canary's
}

// Begin is the evidence before the first look.
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
	for i := range s.worse {
		s.worse[i], s.excess[i] = math.Inf(-1), math.Inf(-1)
	}
	s.again = math.Inf(-1)
	return s
}

func grow(b *belief, variance float64) { b.cov[at(arm, arm)] += variance }

// variances are those of the components at rest.
func (m *Model) variances() [most]float64 {
	var v [most]float64
	copy(v[:wandering], m.Wander[:])
	v[arm] = m.Arm * m.Arm
	return v
}

// known is the log ratio that a row supposes.
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

// Add takes up one look.
func (m *Model) Add(s *State, l *Look) {
	d := m.components()
	s.calm, s.few, s.lumps = copied(s.calm), copied(s.few), copied(s.lumps)
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

// pass lets the time of the look pass in every row. What has just started may be cold.
func (m *Model) pass(s *State, l *Look, d int) {
	var forgets, gains [most]float64
	rest := m.variances()
	for i := range d {
		forgets[i] = math.Exp(-l.Seconds / forgetting[i])
		if i != arm {
			gains[i] = rest[i] * (1 - forgets[i]*forgets[i])
		}
	}
	for i := cold; i < d; i++ {
		gains[i] = coldest * coldest / 2 * l.Starts * l.Starts
	}
	if d > users {
		forgets[users], gains[users] = m.divide(s, l)
	}
	for r := range s.rows {
		if !m.skips(r) {
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
}

// divide is what becomes of the difference of the arms' users with a change of weight: those that were there stay, others
// come.
func (m *Model) divide(s *State, l *Look) (stays, gains float64) {
	if m.Users <= 0 {
		return 1, 0
	}
	return divided(&s.weight, l.Weight, func(w float64) float64 { return m.Users / (w * (1 - w)) })
}

// divided is that where apart is the variance of the difference at a weight. It keeps the weight.
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

// leastWeight is the smallest share of the users.
const leastWeight = 1e-3

// mass is how much of the starts falls on the look.
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

// start lets alternatives begin with the look: the fault may be as old as the release or begin now. What begins
// believes what the null does.
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

// mix is the chance of a mixture: of a, with the share f of b.
func mix(a, b, f float64) float64 { return max(0, min(1, a+f*(b-a))) }

func (b *belief) copyWith(variance float64) belief {
	c := *b
	grow(&c, variance)
	return c
}

// exceed weighs the canary's rate alone: several times the absolute margin against just that.
func (m *Model) exceed(s *State, l *Look) {
	if l.Allowed <= 0 {
		return
	}
	for i, r := range Alternatives {
		s.excess[i] += (l.Bad*logAlternatives[i] - l.Allowed*(r-1)) / m.Clusters
	}
}

// weigh holds the look against every row.
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

// held is what a row says of a datum: the logarithm of its probability, and what follows for u.
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

// learn updates a row by what it was held against, as far as that was no incident.
func (h *held) learn(b *belief, d int, sure float64) {
	shift := h.after - h.mean
	less := sure * (h.variance - h.spread)
	b.learn(d, &h.with, h.variance, sure*shift, less)
}

// within are the chances that an incident goes on as it was, and that one begins or changes its size.
func within(before, stays, onset float64) (same, other float64) {
	on := before * stays
	return on * (1 - changes), (1-on)*onset + on*changes
}

// incident is the chance that an incident is going on, and the logarithm of the probability of the look with it.
func incident(before, stays, onset, plain, goingOn, fresh float64) (after, sum float64) {
	same, other := within(before, stays, onset)
	in := LogAdd(math.Log(same)+goingOn, math.Log(other)+fresh)
	sum = LogAdd(math.Log(max(1-same-other, 0))+plain, in)
	return math.Exp(in - sum), sum
}

// forgives is how fast what the null has learned of a better canary is forgotten: a canary that was better may become
// as good. turnsOver is how fast what it has learned of the worlds is: noise that was common to both arms may cease to be.
const (
	forgives  = hour
	turnsOver = 10 * hour
)

// isGood holds the look against the null, and is the logarithm of its probability there. Against that the fault is
// weighed that comes again and again, too.
func (m *Model) isGood(s *State, l *Look, stays, onset float64, illP, freshP *held, common *inCommon, d int) float64 {
	m.forget(s, l.Seconds)
	var sums [parts]float64
	sums[inLump], sums[inCalm] = m.inLumps(s, l, stays, onset, illP, freshP), math.Inf(-1)
	sums[inFew] = m.inFew(s, l, stays, onset, illP, freshP, d)
	if m.Calm {
		_, sum := common.incident(s.calm.ill[calmNull], stays, onset, common.rows[calmNull].log)
		sums[inCalm] = math.Log(s.good[inCalm]) + sum
	}
	all := LogAdd(LogAdd(sums[inLump], sums[inCalm]), sums[inFew])
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
	s.calm, s.few, s.lumps = copied(s.calm), copied(s.few), copied(s.lumps)
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
}

// copied is a copy of a world that may be changed; nil stays nil.
func copied[World calm | few | lumps](w *World) *World {
	if w == nil {
		return nil
	}
	own := *w
	return &own
}

package sequential

import (
	"math"

	"github.com/serindev/serin/judge"
)

// maxFresh bounds how many fresh comparisons a metric keeps at once: the cost of a look grows with them, and their
// weights fall with the square of their number.
const maxFresh = 64

// inheritsFrom is how many looks in complete blocks the whole needs before its noise is good enough to be what a
// fresh comparison begins with.
const inheritsFrom = 30

// fresh is a comparison begun anew in the midst of a release, so that the good past does not hide a fault that
// begins late. It is put at e = 1 until it begins, and is therefore an e-process as the whole is; so is their
// weighted mean.
//
// Shin, Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential change detection, New England J.
// Stat. Data Sci. 2 (2023), 229–260.
type fresh struct {
	comparison
	number int // 1 for the first of the release
	// inherited is what the whole knew of the noise when this one began; without it the one begins as the whole
	// did.
	inherited bool
	past      judge.Past
}

// Logarithms of the weights in the mean: the whole ½, the k-th fresh one 1/(2k(k+1)); they sum to 1 however long a
// release lasts.
const logWholeWeight = -math.Ln2

func (f *fresh) logWeight() float64 {
	k := float64(f.number)
	return -math.Ln2 - math.Log(k) - math.Log(k+1)
}

// trial is one question about one pair of arms: a metric has one, one for each direction, or one for each bound of
// a histogram.
type trial struct {
	whole comparison
	// absolute compares the worse arm alone with the absolute margin (counts only).
	absolute tally
	// since is the whole since the last change of weight; nothing is decided on it, it is what is learned.
	since tally
	fresh []fresh // the oldest first
}

// clone copies t, with room for another fresh comparison.
func (t *trial) clone() trial {
	c := *t
	if len(t.fresh) > 0 {
		c.fresh = append(make([]fresh, 0, len(t.fresh)+1), t.fresh...)
	}
	return c
}

// begin begins a fresh comparison, the number-th, and lets go of the oldest beyond keep.
func (t *trial) begin(kind judge.Kind, number, keep int, p supposition) {
	f := fresh{number: number}
	if t.whole.filled*t.whole.size >= inheritsFrom {
		spreads, n := t.whole.noise(kind, p)
		whole := profile{spreads: spreads, n: n}
		past := judge.Past{Noise: whole.phi(), Information: t.whole.information(kind), Looks: t.whole.looks}
		if isPast(kind, past) {
			f.inherited, f.past = true, past
		}
	}
	t.fresh = append(t.fresh, f)
	if over := len(t.fresh) - keep; over > 0 {
		t.fresh = append(t.fresh[:0], t.fresh[over:]...)
	}
}

// add counts one look in every comparison of t.
func (t *trial) add(kind judge.Kind, o row, absolute, seconds float64) {
	if absolute > 0 {
		alone := row{o[0], 0, 0, o[1] * absolute}
		t.absolute.add(judge.Objective, alone, seconds)
	}
	var gain [gridSize]float64
	if kind == judge.Counts {
		if o[1] <= 0 || o[3] <= 0 {
			o = row{}
		} else {
			countsGain(o, &gain)
		}
	}
	t.whole.add(kind, o, &gain, seconds)
	t.since.add(kind, o, seconds)
	for i := range t.fresh {
		t.fresh[i].add(kind, o, &gain, seconds)
	}
}

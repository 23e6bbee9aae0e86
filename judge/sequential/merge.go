package sequential

import (
	"errors"

	"github.com/serindev/serin/judge"
)

// Errors of [Judge.Merge].
var (
	// ErrFresh: with comparisons begun anew, what follows depends on when, so the looks have to be gone through.
	ErrFresh = errors.New("evidence with comparisons begun anew cannot be merged: fold the looks")
	// ErrUnaligned: the second evidence is kept in blocks that do not fit between those of the first.
	ErrUnaligned = errors.New("the blocks of the evidence do not fit together: fold the looks")
	// ErrTurned: the weight changed within the second evidence.
	ErrTurned = errors.New("the weight changed within the evidence that is to be added: merge it weight by weight")
)

// Merge is the evidence as if the looks of b had followed those of a, to the bit of what folding them gives but for
// the order of sums. Both have to be this judge's and begun with the same pasts; b holds looks at one weight.
//
// It gives the same or an error, never something near: looks are kept in blocks for the estimate of noise, so b has
// to have fewer than 64 looks in every comparison, or a a multiple of b's block (see [ErrUnaligned]); and the judge
// must not begin comparisons anew ([ErrFresh]). Neither a nor b is changed.
func (j *Judge) Merge(a, b judge.Evidence) (judge.Evidence, error) {
	first, second := j.mine(a), j.mine(b)
	switch {
	case j.anew.on():
		return nil, ErrFresh
	case second.judged == 0:
		return first, nil
	case first.judged == 0:
		return second, nil
	}
	out := first.clone()
	same := first.weight == second.weight
	out.judged += second.judged
	out.weight = second.weight
	if !same {
		out.split = second.split
	} else if err := out.split.merge(&second.split); err != nil {
		return nil, err
	}
	for i := range out.records {
		if err := out.records[i].merge(&second.records[i], same); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *split) merge(o *split) error {
	s.canary += o.canary
	s.baseline += o.baseline
	return s.comparison.merge(&o.comparison)
}

// merge adds o's looks to r's; same tells whether the weight stayed.
func (r *record) merge(o *record, same bool) error {
	if o.changed {
		return ErrTurned
	}
	for i := range r.trials {
		t, u := &r.trials[i], &o.trials[i]
		if u.since.looks != u.whole.looks {
			return ErrTurned
		}
		if !same || r.changed {
			t.since = tally{}
		}
		for _, part := range []struct{ to, from *tally }{{&t.absolute, &u.absolute}, {&t.since, &u.since}} {
			if err := part.to.merge(part.from); err != nil {
				return err
			}
		}
		if err := t.whole.merge(&u.whole); err != nil {
			return err
		}
	}
	if !same || r.changed {
		r.sinceCanary, r.sinceBaseline = 0, 0
	}
	// Without data at the new weight the comparison still waits to begin there.
	r.changed = (r.changed || !same) && len(o.trials) > 0 && o.trials[0].whole.looks == 0
	r.sinceCanary += o.sinceCanary
	r.sinceBaseline += o.sinceBaseline
	r.canary.Bad += o.canary.Bad
	r.canary.Total += o.canary.Total
	r.baseline.Bad += o.baseline.Bad
	r.baseline.Total += o.baseline.Total
	if r.began == 0 {
		r.began = o.began
	}
	return nil
}

func (c *comparison) merge(o *comparison) error {
	for j := range c.logLik {
		c.logLik[j] += o.logLik[j]
	}
	return c.tally.merge(&o.tally)
}

// merge adds the blocks of o behind t's. They fit if t ends at a multiple of o's block.
func (t *tally) merge(o *tally) error {
	if o.looks == 0 {
		return nil
	}
	if t.looks%o.size != 0 {
		return ErrUnaligned
	}
	t.size = max(t.size, 1)
	for t.size < o.size { // t's looks are a multiple of o's blocks, so its own pair without a rest
		t.pair()
	}
	for _, block := range o.blocks[:o.filled] {
		t.append(block, o.size)
	}
	if o.fill > 0 {
		t.append(o.current, o.fill)
	}
	t.looks += o.looks
	t.seconds += o.seconds
	t.total.add(o.total)
	t.mhA += o.mhA
	t.mhB += o.mhB
	return nil
}

// append adds a block of so many looks, which the current one has room for.
func (t *tally) append(block row, looks int) {
	t.current.add(block)
	t.fill += looks
	if t.fill < t.size {
		return
	}
	t.blocks[t.filled] = t.current
	t.filled++
	t.current, t.fill = row{}, 0
	if t.filled == maxBlocks {
		t.halve()
	}
}

// pair makes blocks twice as long. Their number has to be even, and the current one empty.
func (t *tally) pair() {
	n := t.filled / 2
	for i := range n {
		t.blocks[i] = t.blocks[2*i]
		t.blocks[i].add(t.blocks[2*i+1])
	}
	clear(t.blocks[n:])
	t.filled, t.size = n, 2*t.size
}

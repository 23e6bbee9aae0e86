package sequential

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/serindev/serin/judge"
)

// ErrOtherMetrics is what [Judge.Decode] returns for evidence that another judge's metrics have left.
var ErrOtherMetrics = errors.New("evidence belongs to other metrics")

var errMalformed = errors.New("not evidence of the sequential judge")

// Decode restores what Encode wrote for the same metrics. It takes nothing that Encode could not have written, byte
// by byte, and what it allocates is bounded by the settings and the length of b.
func (j *Judge) Decode(b []byte) (judge.Evidence, error) {
	const head = len(magic) + 1 + 8
	if len(b) < head || string(b[:len(magic)]) != magic {
		return nil, errMalformed
	}
	if v := b[len(magic)]; v != version {
		return nil, fmt.Errorf("evidence in version %d of its form, this is version %d", v, version)
	}
	if binary.LittleEndian.Uint64(b[len(magic)+1:]) != j.fingerprint {
		return nil, ErrOtherMetrics
	}
	e := j.Begin(nil).(*evidence)
	r := reader{b: b[head:]}
	e.judged = r.uint(mostLooks)
	e.first = r.int()
	e.weight = r.bits(0, 1)
	e.split.canary, e.split.baseline = r.number(0, mostSum), r.number(0, mostSum)
	r.comparison(judge.Counts, &e.split.comparison)
	for i := range e.records {
		r.record(&j.metrics[i], &e.records[i])
	}
	if r.failed || len(r.b) != 0 {
		return nil, errMalformed
	}
	if again, err := e.Encode(); err != nil || !bytes.Equal(again, b) {
		return nil, errMalformed
	}
	return e, nil
}

// What evidence can hold at most: far more than any release has, and little enough that products of it stay
// finite.
const (
	mostLooks = 1 << 40
	mostSum   = 1e30
	mostGauge = mostValue * mostLooks
	leastSum  = leastValue * 1e-20 // what is left of values that cancel each other
	// leastExpected is the smallest number of events that can be expected of a look: of the least count at the least
	// rate.
	leastExpected = leastCount * 1e-13
)

// reader takes encoded evidence apart. After the first thing that cannot be it only returns zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) fail() {
	r.failed, r.b = true, nil
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) uint(most int) int {
	x := r.uvarint()
	if x > uint64(most) { //nolint:gosec // most is a bound of ours, not negative
		r.fail()
		return 0
	}
	return int(x) //nolint:gosec // at most most, an int
}

func (r *reader) int() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) bool() bool { return r.uint(1) == 1 }

// bits reads a float between lo and hi; one that is not a number is not between.
func (r *reader) bits(lo, hi float64) float64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	if !between(x, lo, hi) {
		r.fail()
		return 0
	}
	return x
}

func (r *reader) number(lo, hi float64) float64 {
	n := r.uvarint()
	if r.failed {
		return 0
	}
	x := float64(n - 1)
	if n == 0 {
		x = r.bits(lo, hi)
	}
	if !between(x, lo, hi) || x != 0 && math.Abs(x) < leastSum {
		r.fail()
		return 0
	}
	return x
}

func (r *reader) row(kind judge.Kind, to *row) {
	lo, hi := 0.0, mostSum
	if kind == judge.Gauge {
		lo, hi = -mostGauge, mostGauge
	}
	for i := range to {
		to[i] = r.number(lo, hi)
		if kind != judge.Gauge && to[i] != 0 && to[i] < leastExpected {
			r.fail()
		}
	}
	if kind == judge.Counts && to[0]+to[2] > 0 && (to[1] == 0 || to[3] == 0) {
		r.fail() // events of no exposure
	}
}

func (r *reader) tally(kind judge.Kind, t *tally) {
	t.size, t.filled, t.fill = r.uint(mostLooks/maxBlocks), r.uint(maxBlocks-1), r.uint(mostLooks)
	if t.size == 0 && t.filled == 0 && t.fill == 0 {
		return
	}
	t.looks = t.filled*t.size + t.fill
	if t.size&(t.size-1) != 0 || t.fill >= t.size || t.looks == 0 {
		r.fail()
		return
	}
	t.seconds = r.number(leastSeconds*float64(t.looks)/2, mostSum)
	t.mhA, t.mhB = r.number(0, mostSum), r.number(0, mostSum)
	r.row(kind, &t.total)
	r.row(kind, &t.current)
	for i := range t.filled {
		r.row(kind, &t.blocks[i])
	}
}

func (r *reader) comparison(kind judge.Kind, c *comparison) {
	r.tally(kind, &c.tally)
	if kind != judge.Counts || c.size == 0 {
		return
	}
	for j := range c.logLik {
		c.logLik[j] = r.bits(-1e3*mostSum, 1e3*mostSum)
	}
}

func (r *reader) past(kind judge.Kind) judge.Past {
	p := judge.Past{Noise: r.number(0, mostPast), Information: r.number(0, mostPast), Looks: r.uint(mostLooks)}
	if !isPast(kind, p) {
		r.fail()
	}
	return p
}

func (r *reader) record(m *metric, to *record) {
	for n := r.uint(mostPasts); n > 0 && !r.failed; n-- {
		to.pasts = append(to.pasts, r.past(m.comparing))
	}
	lo, hi := 0.0, mostSum
	if m.Kind == judge.Gauge {
		lo, hi = -mostGauge, mostGauge
	}
	for _, x := range to.sums() {
		*x = r.number(lo, hi)
	}
	to.changed, to.began, to.begun = r.bool(), r.int(), r.uint(mostLooks)
	for i := range to.trials {
		r.trial(m, to.begun, &to.trials[i])
	}
}

func (r *reader) trial(m *metric, begun int, t *trial) {
	r.comparison(m.comparing, &t.whole)
	if m.absolute() > 0 {
		r.tally(judge.Objective, &t.absolute)
	}
	r.tally(m.comparing, &t.since)
	for n := r.uint(maxFresh); n > 0 && !r.failed; n-- {
		f := fresh{number: r.uint(begun), inherited: r.bool()}
		if f.number == 0 {
			r.fail()
		}
		if f.inherited {
			f.past = r.past(m.comparing)
		}
		r.comparison(m.comparing, &f.comparison)
		t.fresh = append(t.fresh, f)
	}
}

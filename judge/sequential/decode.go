package sequential

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// ErrOtherMetrics is returned by [Judge.Decode] for evidence of other metrics than the judge's.
var ErrOtherMetrics = errors.New("evidence belongs to other metrics")

var errMalformed = errors.New("not evidence of the sequential judge")

// Decode restores what Encode wrote for the same metrics. It accepts only bytes that Encode could have written, and the
// settings bound what it allocates. Evidence in an earlier version of the form, of a judge with another model, begins
// again; the verdicts that rest on it say so.
func (j *Judge) Decode(b []byte) (judge.Evidence, error) {
	const head = len(magic) + 1 + 8
	if len(b) < head || string(b[:len(magic)]) != magic {
		return nil, errMalformed
	}
	e := j.Begin(nil).(*evidence)
	v := b[len(magic)]
	switch v {
	case 1, 2:
		e.again = true
		return e, nil
	case withoutQuiet, withoutCalm, withoutFew, withoutStrains, withoutStarts, version:
	default:
		return nil, fmt.Errorf("evidence in version %d of its form, this is version %d", v, version)
	}
	if binary.LittleEndian.Uint64(b[len(magic)+1:]) != j.fingerprint {
		return nil, ErrOtherMetrics
	}
	r := reader{b: b[head:]}
	e.fields(v, &r)
	if r.failed || len(r.b) != 0 || !e.sound() {
		return nil, errMalformed
	}
	if !bytes.Equal(e.encode(v), b) {
		return nil, errMalformed
	}
	return e, nil
}

// sound reports whether the decoded beliefs are possible.
func (e *evidence) sound() bool {
	for i := range e.records {
		m, r := &e.judge.metrics[i], &e.records[i]
		model := m.model(&r.noise)
		for k := range r.comparisons {
			if !r.comparisons[k].sound(&model) {
				return false
			}
		}
		if !m.soundParts(r) {
			return false
		}
	}
	return true
}

// Upper bounds of the numbers in evidence: far above what any release reaches, and low enough that their products stay
// finite.
const (
	mostLooks    = 1 << 40
	mostSum      = 1e30
	mostGauge    = mostValue * mostLooks
	mostSquares  = 1e90 // sums of fourth powers of counts
	mostWander   = 100
	mostReplicas = 1e6
)

// reader decodes evidence. After the first error it returns only zeros.
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

func (r *reader) uint(n *int, most int) {
	x := r.uvarint()
	if x > uint64(most) { //nolint:gosec // most is a bound of ours, not negative
		r.fail()
		return
	}
	*n = int(x) //nolint:gosec // at most most, an int
}

func (r *reader) int(to *int64) {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return
	}
	r.b = r.b[n:]
	*to = x
}

func (r *reader) bool(is *bool) {
	n := 0
	r.uint(&n, 1)
	*is = n == 1
}

func (r *reader) text(to *string, most int) {
	n := 0
	r.uint(&n, most)
	if n > len(r.b) {
		r.fail()
		return
	}
	*to = string(r.b[:n])
	r.b = r.b[n:]
}

// float reads a number bit by bit.
func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return x
}

// bits reads a number within bounds, which NaN is not.
func (r *reader) bits(n statespace.Number) {
	x := r.float()
	if r.failed || !n.Fits(x) {
		r.fail()
		return
	}
	*n.At = x
}

func (r *reader) number(to *float64, lo, hi float64) {
	n := r.uvarint()
	if r.failed {
		return
	}
	x := float64(n - 1)
	if n == 0 {
		x = r.float()
	}
	if r.failed || !between(x, lo, hi) {
		r.fail()
		return
	}
	*to = x
}

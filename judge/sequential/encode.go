package sequential

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/serindev/serin/judge"
)

// The form of encoded evidence: the magic bytes, the version, the fingerprint of the metrics, then fields in a
// fixed order. Numbers that are exact integers, as counts are, take one to eight bytes; the likelihoods are kept bit
// by bit, so that a verdict after decoding is the same to the last bit.
const (
	magic   = "sq"
	version = 1
)

// fingerprint tells evidence of other metrics apart: it covers what gives the state its shape and meaning.
func fingerprint(metrics []metric) uint64 {
	h := fnv.New64a()
	for _, m := range metrics {
		_, _ = fmt.Fprintf(h, "%q %q %q %x %x %x\n", m.Name, m.Kind, m.Direction, m.Objective, m.Margin.Absolute, m.Bounds)
	}
	return h.Sum64()
}

// Encode writes the evidence. It never returns an error.
func (e *evidence) Encode() ([]byte, error) {
	w := writer{b: make([]byte, 0, 4096)}
	w.b = append(w.b, magic...)
	w.b = append(w.b, version)
	w.b = binary.LittleEndian.AppendUint64(w.b, e.judge.fingerprint)
	w.uint(e.judged)
	w.int(e.first)
	w.bits(e.weight)
	w.number(e.split.canary)
	w.number(e.split.baseline)
	w.comparison(judge.Counts, &e.split.comparison)
	for i := range e.records {
		w.record(&e.judge.metrics[i], &e.records[i])
	}
	return w.b, nil
}

type writer struct{ b []byte }

func (w *writer) uint(n int)     { w.b = binary.AppendUvarint(w.b, uint64(max(n, 0))) }
func (w *writer) int(n int64)    { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) bits(x float64) { w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(x)) }

func (w *writer) bool(is bool) {
	if is {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

// number writes x as an integer above 0 if it is one (x+1), else as 0 and its bits.
func (w *writer) number(x float64) {
	if x >= 0 && x < mostCount && x == math.Trunc(x) && !math.Signbit(x) {
		w.b = binary.AppendUvarint(w.b, uint64(x)+1)
		return
	}
	w.b = append(w.b, 0)
	w.bits(x)
}

func (w *writer) row(r *row) {
	for _, x := range r {
		w.number(x)
	}
}

func (w *writer) tally(t *tally) {
	w.uint(t.size)
	w.uint(t.filled)
	w.uint(t.fill)
	if t.size == 0 {
		return
	}
	w.number(t.seconds)
	w.number(t.mhA)
	w.number(t.mhB)
	w.row(&t.total)
	w.row(&t.current)
	for i := range t.filled {
		w.row(&t.blocks[i])
	}
}

func (w *writer) comparison(kind judge.Kind, c *comparison) {
	w.tally(&c.tally)
	if kind != judge.Counts || c.size == 0 {
		return
	}
	for _, l := range c.logLik {
		w.bits(l)
	}
}

func (w *writer) past(p judge.Past) {
	w.number(p.Noise)
	w.number(p.Information)
	w.uint(p.Looks)
}

func (w *writer) record(m *metric, r *record) {
	w.uint(len(r.pasts))
	for _, p := range r.pasts {
		w.past(p)
	}
	for _, x := range r.sums() {
		w.number(*x)
	}
	w.bool(r.changed)
	w.int(r.began)
	w.uint(r.begun)
	for i := range r.trials {
		w.trial(m, &r.trials[i])
	}
}

func (w *writer) trial(m *metric, t *trial) {
	w.comparison(m.comparing, &t.whole)
	if m.absolute() > 0 {
		w.tally(&t.absolute)
	}
	w.tally(&t.since)
	w.uint(len(t.fresh))
	for i := range t.fresh {
		f := &t.fresh[i]
		w.uint(f.number)
		w.bool(f.inherited)
		if f.inherited {
			w.past(f.past)
		}
		w.comparison(m.comparing, &f.comparison)
	}
}

// sums are the numbers of a record that do not belong to a trial.
func (r *record) sums() [6]*float64 {
	return [6]*float64{&r.canary.Bad, &r.canary.Total, &r.baseline.Bad, &r.baseline.Total, &r.sinceCanary, &r.sinceBaseline}
}

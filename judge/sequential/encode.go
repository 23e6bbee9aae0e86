package sequential

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// The form of encoded evidence: the magic bytes, the version, the fingerprint of the metrics, then fields in a
// fixed order. Exact integers such as counts take one to eight bytes; other numbers keep all their bits, so that a
// verdict after decoding is the same to the last bit.
const (
	magic   = "sq"
	version = 8
	// Earlier versions, each named after what it lacks compared with the next: how releases begin, strains of one arm, the
	// world of few users, the world of shared noise together with the differences of earlier releases, and [record.quiet].
	withoutStarts  = 7
	withoutStrains = 6
	withoutFew     = 5
	withoutCalm    = 4
	withoutQuiet   = 3
)

// fingerprint identifies the metrics that evidence belongs to: it covers everything that gives the state its shape and
// meaning.
func fingerprint(metrics []metric) uint64 {
	h := fnv.New64a()
	for _, m := range metrics {
		_, _ = fmt.Fprintf(h, "%q %q %q %x %x %x %t %t %t\n",
			m.Name, m.Kind, m.Direction, m.Objective, m.Margin.Absolute, m.Bounds, m.Goal, m.Cold, m.Users)
		if m.By != "" {
			_, _ = fmt.Fprintf(h, "by %q %d\n", m.By, m.Values)
		}
		if m.Budgeted {
			_, _ = h.Write([]byte("budgeted\n"))
		}
		if m.Kind == judge.Mean {
			_, _ = fmt.Fprintf(h, "mean %x\n", m.Margin.Relative)
		}
		if m.Sticky {
			_, _ = h.Write([]byte("sticky\n"))
		}
	}
	return h.Sum64()
}

// Encode writes the evidence. It never returns an error.
func (e *evidence) Encode() ([]byte, error) { return e.encode(version), nil }

func (e *evidence) encode(version byte) []byte {
	w := writer{b: make([]byte, 0, 8192)}
	w.b = append(w.b, magic...)
	w.b = append(w.b, version)
	w.b = binary.LittleEndian.AppendUint64(w.b, e.judge.fingerprint)
	e.fields(version, &w)
	return w.b
}

// coder writes fields, or reads them into place.
type coder interface {
	uint(n *int, most int)
	int(n *int64)
	bool(is *bool)
	// number codes a number that is often an integer.
	number(x *float64, lo, hi float64)
	bits(n statespace.Number)
	// text codes a text of at most most bytes.
	text(s *string, most int)
}

// fields codes all fields of the evidence in a version of the form, in their order there.
func (e *evidence) fields(version byte, c coder) {
	c.uint(&e.looks, mostLooks)
	c.int(&e.first)
	c.bits(statespace.Number{At: &e.weight, Hi: 1})
	c.bool(&e.again)
	c.number(&e.split.canary, 0, mostSum)
	c.number(&e.split.baseline, 0, mostSum)
	c.number(&e.split.seconds, 0, mostSum)
	e.split.spread.fields(c)
	for i := range e.records {
		e.records[i].fields(&e.judge.metrics[i], version, c)
	}
}

func (n *noise) fields(version byte, c coder) {
	c.bool(&n.learned)
	if version > withoutCalm {
		c.bool(&n.calm)
		c.number(&n.arm, 0, mostWander)
	} else {
		n.calm, n.arm = false, 0
	}
	if version > withoutFew {
		c.number(&n.few, 0, mostFew)
	} else {
		n.few = 0
	}
	if version > withoutStrains {
		c.bool(&n.strains)
	} else {
		n.strains = false
	}
	if version > withoutStarts {
		c.number(&n.chill, 0, mayBeCold)
	} else {
		n.chill = 0
	}
	for i := range n.wander {
		c.number(&n.wander[i], 0, mostWander)
	}
	c.number(&n.clusters, 1, mostCount)
	c.number(&n.incident, 1, longestLook)
	c.number(&n.lumps, 0, mostCount)
	c.number(&n.users, 0, mostWander)
	c.number(&n.rate, 0, 1)
	c.number(&n.spread, 0, mostWander)
	c.uint(&n.replicas, mostReplicas)
	c.uint(&n.canary, mostReplicas)
}

func (r *record) fields(m *metric, version byte, c coder) {
	r.noise.fields(version, c)
	if m.Budgeted {
		c.number(&r.noise.rules, 0, mostRuled)
	}
	for _, x := range [...]*float64{
		&r.canary.Bad, &r.canary.Total, &r.baseline.Bad, &r.baseline.Total, &r.sinceCanary, &r.sinceBaseline,
	} {
		c.number(x, -mostGauge, mostGauge)
	}
	c.bool(&r.turned)
	c.bits(statespace.Number{At: &r.starts, Hi: 1})
	c.uint(&r.looks, mostLooks)
	if version > withoutQuiet {
		c.number(&r.quiet, 0, mostSum)
	}
	for i := range r.comparisons {
		r.comparisons[i].fields(m, &r.noise, m.absolute() > 0, version, c)
	}
	if m.By != "" {
		r.partFields(m, version, c)
	}
}

func (o *comparison) fields(m *metric, n *noise, floor bool, version byte, c coder) {
	c.bool(&o.begun)
	if !o.begun {
		return
	}
	model := m.model(n)
	if m.comparing != judge.Mean {
		state := model.Take(&o.state)
		model.Numbers(&state, c.bits)
		if _, writes := c.(*writer); !writes {
			o.state = model.Keep(&state)
		}
	}
	if floor {
		model.FloorNumbers(&o.floor, c.bits)
	}
	for i := range o.total {
		c.number(&o.total[i], -mostGauge, mostGauge)
		c.number(&o.waiting[i], 0, mostSum)
	}
	if m.hasStarts() && version > withoutStarts {
		for i := range o.young.sums {
			c.number(&o.young.sums[i], 0, mostSum)
		}
		c.bits(statespace.Number{At: &o.young.share, Hi: 1})
	}
	if m.comparing == judge.Mean {
		if o.bets == nil {
			o.bets = &bets{}
		}
		o.bets.fields(c)
		return
	}
	for _, t := range [...]*teaching{&o.teaches[0], &o.teaches[1], &o.teaches[2], &o.own, &o.base} {
		for _, x := range [...]*float64{
			&t.blocks.Squares, &t.blocks.Variance, &t.blocks.Weight, &t.blocks.Fourth, &t.blocks.Count, &t.variance, &t.seconds,
		} {
			c.number(x, 0, mostSquares)
		}
		c.number(&t.deviation, -mostSum, mostSum)
	}
	if m.comparing == judge.Gauge {
		o.spread.fields(c)
	}
}

func (s *spread) fields(c coder) {
	for i := range s.levels {
		v := &s.levels[i]
		c.number(&v.sum, -mostSum, mostSum)
		c.number(&v.before, -mostSum, mostSum)
		c.uint(&v.looks, 1<<i)
		c.bool(&v.some)
		c.number(&v.squares, 0, mostSquares)
		c.number(&v.count, 0, mostSum)
	}
}

type writer struct{ b []byte }

func (w *writer) uint(n *int, _ int)       { w.b = binary.AppendUvarint(w.b, uint64(max(*n, 0))) }
func (w *writer) int(n *int64)             { w.b = binary.AppendVarint(w.b, *n) }
func (w *writer) bits(n statespace.Number) { w.float(*n.At) }

func (w *writer) text(s *string, most int) {
	n := len(*s)
	w.uint(&n, most)
	w.b = append(w.b, *s...)
}

func (w *writer) float(x float64) {
	w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(x))
}

func (w *writer) bool(is *bool) {
	if *is {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

// number writes x as the positive integer x+1 if it is an integer, otherwise as 0 followed by its bits.
func (w *writer) number(x *float64, _, _ float64) {
	if v := *x; v >= 0 && v < mostCount && v == math.Trunc(v) && !math.Signbit(v) {
		w.b = binary.AppendUvarint(w.b, uint64(v)+1)
		return
	}
	w.b = append(w.b, 0)
	w.float(*x)
}

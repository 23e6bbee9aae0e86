package analysis

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Times and bounds of counting.
const (
	// Stale is how long a series lives without samples according to Prometheus (its lookback).
	Stale = 5 * time.Minute
	// MaxWindow bounds the window after a long outage. Only resets before it are lost: increments across the gap come
	// from the values on both sides.
	MaxWindow = 6 * time.Hour
	// Forget is how long the last sample of a vanished series is kept; a series that comes back later is treated as
	// new.
	Forget = 24 * time.Hour
)

// Cursor is how far the samples of a scope have been counted, and the last sample of each series. A scope's first
// cursor is [NewCursor]. It is a value: folding returns a new one. Its JSON form has a version and takes about 20
// bytes a series.
//
// Per series the rules are:
//   - Counted is the sum of increments from sample to sample. A value below its predecessor is a reset and counts as a
//     whole, within one answer. Between two answers, which may come from two servers, it is a reset if it is far
//     below, comes [Skew] later, or once the series has stayed below for that long; otherwise the next ask also covers
//     the time before, and its answer shows the reset by itself. Until then only what exceeds the higher value counts.
//     So a small counter that began again and is soon above its last value counts the difference: never too much.
//   - A new series counts its whole first value if an earlier scrape of its target succeeded without it: then it began
//     after that scrape. Otherwise the first value is only a base.
//   - The same holds for a series that was gone for longer than [Stale] while its target was scraped: it had vanished
//     (Traefik drops the series of a removed service). Without such a scrape it was an outage, and the difference
//     counts.
//   - The same holds for a series that was gone for a shorter time, if another series of the same input and target,
//     scraped together with it until then, fell in a scrape without this one: then the process restarted. If none
//     fell, a series that comes back above its last value counts the difference, since an exporter may have left it
//     out of one scrape. That is too little by at most the last value, and never too much.
//   - Samples at or before the last one counted, NaN, infinite and negative ones are skipped.
//
// A process that is scraped by several jobs (see [sameProcess]) is counted once.
//
// The number of series is bounded by [Forget] and by the source's bounds on an answer.
type Cursor struct {
	// At is the end of the last window with any answer.
	At time.Time

	asked     map[uint64]asked
	series    map[uint64]point
	low       map[uint64]low    // series whose last sample was below the value of their point
	exposures *exposures        // since the weight changed; never modified, but replaced
	repeats   map[uint64]repeat // scrape jobs whose processes are counted through another job
	fallen    map[uint64]fall   // when a target of an input last began again
	served    map[uint64]served // the canary's replicas, by the hash of the label that tells them apart
	// values holds, by metric, the values of its label By that are judged one by one; the lists are never modified.
	values map[string][]string
}

// low records since when a series has been low, and its input. The window is extended until it is clear whether the
// series began again.
type low struct {
	since int64 // ms
	input uint64
}

// fall is when a series of a target was last scraped before it fell, and when it was first lower.
type fall struct{ before, at int64 } // ms

// asked is the progress of one input of the plan.
type asked struct {
	until    int64 // counted up to here, ms
	seen     int64 // the time of the last sample of any of its series, ms; 0 if there never was one
	answered bool  // until is the end of an answer; otherwise the next ask goes back further for bases
}

// point is the last sample of a series that was counted.
type point struct {
	t int64
	v float64
}

// NewCursor returns a cursor that begins to count at a time; samples up to then are bases.
func NewCursor(at time.Time) Cursor {
	return Cursor{At: at.UTC().Truncate(time.Millisecond)}
}

// Until adjusts the cursor to a clock that was ahead and has been corrected: it returns the cursor for the time at, and
// how far at is before the time up to which the cursor has counted. Nothing is counted twice, because samples carry the
// times of their source.
func (c Cursor) Until(at time.Time) (Cursor, time.Duration) {
	back := c.At.Sub(at)
	if back <= 0 {
		return c, 0
	}
	c = c.clone()
	c.At = at.UTC().Truncate(time.Millisecond)
	for id, k := range c.asked {
		k.until = min(k.until, c.At.UnixMilli())
		c.asked[id] = k
	}
	for id, s := range c.served {
		c.served[id] = served{from: s.from - back.Milliseconds(), last: s.last - back.Milliseconds()}
	}
	return c, back
}

// clone copies everything that folding changes.
func (c Cursor) clone() Cursor {
	c.asked, c.series = maps.Clone(c.asked), maps.Clone(c.series)
	c.low, c.fallen, c.repeats = maps.Clone(c.low), maps.Clone(c.fallen), maps.Clone(c.repeats)
	c.served = maps.Clone(c.served)
	if c.asked == nil {
		c.asked = map[uint64]asked{}
	}
	if c.series == nil {
		c.series = map[uint64]point{}
	}
	if c.low == nil {
		c.low = map[uint64]low{}
	}
	if c.fallen == nil {
		c.fallen = map[uint64]fall{}
	}
	if c.repeats == nil {
		c.repeats = map[uint64]repeat{}
	}
	if c.served == nil {
		c.served = map[uint64]served{}
	}
	c.values = maps.Clone(c.values)
	return c
}

// forget drops series that have had no sample for a long time.
func (c *Cursor) forget(at int64) {
	maps.DeleteFunc(c.series, func(_ uint64, p point) bool { return at-p.t > Forget.Milliseconds()+MaxWindow.Milliseconds() })
	maps.DeleteFunc(c.repeats, func(_ uint64, r repeat) bool { return at-r.seen > Forget.Milliseconds()+MaxWindow.Milliseconds() })
	maps.DeleteFunc(c.fallen, func(_ uint64, f fall) bool { return at-f.at > Forget.Milliseconds()+MaxWindow.Milliseconds() })
	maps.DeleteFunc(c.low, func(id uint64, _ low) bool { _, there := c.series[id]; return !there })
}

// seed and prime are those of the 64-bit hash FNV-1a; its values are stored, so it never changes.
const (
	seed  uint64 = 14695981039346656037
	prime uint64 = 1099511628211
)

// hash continues h with a text and a terminator.
func hash(h uint64, text string) uint64 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	return (h ^ 0xff) * prime // 0xff occurs in no UTF-8 text
}

// seriesID identifies a series within a scope. Among 10,000 series, two collide with a probability of 3e-12.
func seriesID(input uint64, l Labels) uint64 {
	h := input
	for i := range l {
		h = hash(hash(h, l[i].Name), l[i].Value)
	}
	return h
}

const cursorVersion = 1

type cursorJSON struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	// Asked and Series are base64 of a count, and for each entry, in ascending order of its id, the id (8 bytes, big
	// endian), followed for Asked by until and seen as varints of their distance to At and by answered as a byte, and
	// for Series by the time in the same form and the value: uvarint of v<<1 for a whole number below 2^53, otherwise
	// the byte 1 and the 8 bytes of the float.
	Asked  string `json:"asked"`
	Series string `json:"series"`
	// Low is base64 of a count, and for each entry the id and the time as in Series and the input's id; omitted if
	// empty.
	Low string `json:"low,omitempty"`
	// Fallen is base64 of a count, and for each entry the id and both times as in Series; omitted if empty.
	Fallen string `json:"fallen,omitempty"`
	// Repeats is base64 of a count, and for each entry the id, the time as in Series and the id of the other one;
	// omitted if empty.
	Repeats string `json:"repeats,omitempty"`
	// Served is base64 of a count, and for each entry the id and both times as in Series; omitted if empty.
	Served string `json:"served,omitempty"`
	// Exposures is the basis for finding contradictions.
	Exposures *exposures `json:"exposures,omitempty"`
	// Values holds, by metric, the values of its label By that are judged one by one.
	Values map[string][]string `json:"values,omitempty"`
}

// MarshalJSON writes the cursor; equal cursors give equal bytes.
func (c Cursor) MarshalJSON() ([]byte, error) {
	at := c.At.UnixMilli()
	return json.Marshal(cursorJSON{
		cursorVersion, c.At,
		entries(c.asked, func(b []byte, k asked) []byte {
			return append(binary.AppendVarint(binary.AppendVarint(b, k.until-at), k.seen-at), bit(k.answered))
		}),
		entries(c.series, func(b []byte, p point) []byte { return appendValue(binary.AppendVarint(b, p.t-at), p.v) }),
		someEntries(c.low, func(b []byte, l low) []byte {
			return binary.BigEndian.AppendUint64(binary.AppendVarint(b, l.since-at), l.input)
		}),
		someEntries(c.fallen, func(b []byte, f fall) []byte {
			return binary.AppendVarint(binary.AppendVarint(b, f.before-at), f.at-at)
		}),
		someEntries(c.repeats, func(b []byte, r repeat) []byte {
			return binary.BigEndian.AppendUint64(binary.AppendVarint(b, r.seen-at), r.other)
		}),
		someEntries(c.served, func(b []byte, s served) []byte {
			return binary.AppendVarint(binary.AppendVarint(b, s.from-at), s.last-at)
		}),
		c.exposures,
		c.values,
	})
}

// entries writes, in base64, the number of entries and then each of them by id, as appended by put. UnmarshalJSON has
// the counterpart of each put.
func entries[V any](m map[uint64]V, put func([]byte, V) []byte) string {
	b := binary.AppendUvarint(make([]byte, 0, 8+16*len(m)), uint64(len(m)))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		b = put(binary.BigEndian.AppendUint64(b, id), m[id])
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// someEntries is like entries, but empty without entries, for fields that the first version did not have.
func someEntries[V any](m map[uint64]V, put func([]byte, V) []byte) string {
	if len(m) == 0 {
		return ""
	}
	return entries(m, put)
}

// appendValue writes whole numbers, which most counters are, in few bytes.
func appendValue(b []byte, v float64) []byte {
	if v >= 0 && v < 1<<53 && v == math.Trunc(v) && !math.Signbit(v) {
		return binary.AppendUvarint(b, uint64(v)<<1)
	}
	return binary.BigEndian.AppendUint64(append(b, 1), math.Float64bits(v))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// UnmarshalJSON reads what MarshalJSON wrote; another version is an error.
func (c *Cursor) UnmarshalJSON(b []byte) error {
	var j cursorJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("decode cursor: %w", err)
	}
	if j.Version != cursorVersion {
		return fmt.Errorf("decode cursor: version %d is not known", j.Version)
	}
	parts := make([][]byte, 6)
	for i, text := range []string{j.Asked, j.Series, j.Low, j.Fallen, j.Repeats, j.Served} {
		var err error
		if parts[i], err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return fmt.Errorf("decode cursor: %w", err)
		}
	}
	out := NewCursor(j.At).clone()
	at := out.At.UnixMilli()
	for i, entry := range []func(r *reader){
		func(r *reader) {
			out.asked[r.id()] = asked{until: at + r.varint(), seen: at + r.varint(), answered: r.byte() == 1}
		},
		func(r *reader) { out.series[r.id()] = point{t: at + r.varint(), v: r.value()} },
		func(r *reader) { out.low[r.id()] = low{since: at + r.varint(), input: r.id()} },
		func(r *reader) { out.fallen[r.id()] = fall{before: at + r.varint(), at: at + r.varint()} },
		func(r *reader) { out.repeats[r.id()] = repeat{seen: at + r.varint(), other: r.id()} },
		func(r *reader) { out.served[r.id()] = served{from: at + r.varint(), last: at + r.varint()} },
	} {
		if i >= 2 && len(parts[i]) == 0 {
			continue // omitted if empty
		}
		r := reader{b: parts[i]}
		for range r.count() {
			entry(&r)
		}
		if err := r.end(); err != nil {
			return err
		}
	}
	out.exposures, out.values = j.Exposures, j.Values
	*c = out
	return nil
}

// errCursor is the error for a cursor's bytes that cannot be decoded.
var errCursor = errors.New("decode cursor: it is cut off or not one")

// reader reads a cursor's bytes; after the first error everything is zero.
type reader struct {
	b      []byte
	broken bool
}

func (r *reader) take(n int) []byte {
	if r.broken || n <= 0 || len(r.b) < n {
		r.broken, r.b = true, nil
		return make([]byte, 8)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// count reads a number of entries, bounded by the bytes that are left: an entry takes at least nine.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b))/9 {
		r.broken = true
		return 0
	}
	return int(n) //nolint:gosec // at most a ninth of the bytes
}

func (r *reader) byte() byte { return r.take(1)[0] }

func (r *reader) id() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.take(n)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.take(n)
	return v
}

func (r *reader) value() float64 {
	v := r.uvarint()
	if v == 1 {
		return math.Float64frombits(binary.BigEndian.Uint64(r.take(8)))
	}
	return float64(v >> 1)
}

func (r *reader) end() error {
	if r.broken || len(r.b) > 0 {
		return errCursor
	}
	return nil
}

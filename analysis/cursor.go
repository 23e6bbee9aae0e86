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
	// Stale is how long a series lives without samples by Prometheus's rules (its lookback).
	Stale = 5 * time.Minute
	// MaxWindow bounds what is asked after a long outage. Only resets before it are lost: increments
	// over it come from the values on both sides.
	MaxWindow = 6 * time.Hour
	// Forget is how long the last sample of a series that has stopped coming is remembered; a series that comes
	// back later is treated as new.
	Forget = 24 * time.Hour
)

// Cursor is how far the samples of a scope have been counted, and the last sample of each series. A scope's first
// cursor is [NewCursor]. It is a value: folding returns a new one. Its JSON form has a version and takes about 20
// bytes a series.
//
// Per series the rules are:
//   - Counted is the sum of increments from sample to sample. A value below its predecessor is a reset and counts
//     as a whole, within one answer. Between two answers, which two servers may have given, it is one if it is far
//     below, comes [Skew] later, or once the series has stayed below for so long; else the next answer is asked for the
//     time before as well, and shows it by itself. Until then nothing counts but what exceeds the higher value. So a
//     small counter that began again and is soon above its last value counts the difference: never too much.
//   - A series that was not there before counts its whole first value if a scrape of its target succeeded before
//     that sample without it: then it began after that scrape. Otherwise the first value is only a base.
//   - The same holds for a series that was away for longer than [Stale] while its target was scraped: it had vanished
//     (Traefik drops the series of a removed service). Without such a scrape it was an outage, and the difference
//     counts.
//   - The same holds for a series that was away for less, if another series of the same input and target, which had been
//     scraped together with it, fell in a scrape that lacked this one: then the process restarted. If none fell, a series
//     that comes back above its last value counts the difference: an exporter may have left it out of one scrape. That is
//     too little by at most the last value, and never too much.
//   - Samples at or before the last one counted, NaN, infinite and negative ones are skipped.
//
// A process that is scraped by several jobs (see [sameProcess]) is counted once.
//
// The number of series is bounded by [Forget] and by the source's bounds on an answer.
type Cursor struct {
	// At is the end of the last window for which there was any answer.
	At time.Time

	asked     map[uint64]asked
	series    map[uint64]point
	low       map[uint64]low    // series whose last sample was below their point's value
	exposures *exposures        // since the weight changed; what it points to is never changed
	repeats   map[uint64]repeat // scrape jobs whose processes are counted through another job
	fallen    map[uint64]fall   // when a target of an input was last seen to have begun again
	// values are, by metric, those of its label By that are judged one by one; the lists are never changed.
	values map[string][]string
}

// low records since when a series has been low, and its input. A longer window is asked for until it is clear whether the
// series began again.
type low struct {
	since int64 // ms
	input uint64
}

// fall is the last time a series of a target was scraped before it fell, and when it was first seen lower.
type fall struct{ before, at int64 } // ms

// asked is what is known of one input of the plan.
type asked struct {
	until    int64 // counted up to here, ms
	seen     int64 // the last sample of any of its series, ms; 0 if there never was one
	answered bool  // until is the end of an answer; otherwise the next ask looks back for bases
}

// point is the last sample of a series that was counted.
type point struct {
	t int64
	v float64
}

// NewCursor begins to count at a time: samples up to it are bases.
func NewCursor(at time.Time) Cursor {
	return Cursor{At: at.UTC().Truncate(time.Millisecond)}
}

// Until is the cursor for a clock that says at, and how far that is before the time up to which the cursor has counted: the
// clock was ahead and is right again. Nothing is counted twice, because samples carry the times of their source.
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
	return c, back
}

// clone copies what folding changes.
func (c Cursor) clone() Cursor {
	c.asked, c.series = maps.Clone(c.asked), maps.Clone(c.series)
	c.low, c.fallen, c.repeats = maps.Clone(c.low), maps.Clone(c.fallen), maps.Clone(c.repeats)
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

// hash goes on from h with a text and its end.
func hash(h uint64, text string) uint64 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	return (h ^ 0xff) * prime // 0xff is in no UTF-8 text
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
	// Asked and Series are base64 of: a count, and for each entry in ascending order of its id the id (8 bytes, big
	// endian), then for asked: until and seen as varints of their distance to At, answered as a byte; for series:
	// time likewise, and its value as uvarint of v<<1 where it is a whole number below 2^53, otherwise the byte 1
	// and the 8 bytes of the float.
	Asked  string `json:"asked"`
	Series string `json:"series"`
	// Low is base64 of a count, and for each entry the id and the time as in Series and the input's id; it is left out where
	// it is empty.
	Low string `json:"low,omitempty"`
	// Fallen is base64 of a count, and for each entry the id and both times as in Series; it is left out where it is empty.
	Fallen string `json:"fallen,omitempty"`
	// Repeats is base64 of a count, and for each entry the id, the time as in Series and the other one's id; it is left out
	// where it is empty.
	Repeats string `json:"repeats,omitempty"`
	// Exposures are what contradictions are found from.
	Exposures *exposures `json:"exposures,omitempty"`
	// Values are, by metric, those of its label By that are judged one by one.
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
		c.exposures,
		c.values,
	})
}

// entries writes how many there are and then each, by id, with what put appends of it, in base64. UnmarshalJSON has the
// other half of each put.
func entries[V any](m map[uint64]V, put func([]byte, V) []byte) string {
	b := binary.AppendUvarint(make([]byte, 0, 8+16*len(m)), uint64(len(m)))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		b = put(binary.BigEndian.AppendUint64(b, id), m[id])
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// someEntries is like entries, but empty where there are none, for fields that the first version did not have.
func someEntries[V any](m map[uint64]V, put func([]byte, V) []byte) string {
	if len(m) == 0 {
		return ""
	}
	return entries(m, put)
}

// appendValue writes a whole number, as most counters are, in few bytes.
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
	parts := make([][]byte, 5)
	for i, text := range []string{j.Asked, j.Series, j.Low, j.Fallen, j.Repeats} {
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
	} {
		if i >= 2 && len(parts[i]) == 0 {
			continue // left out where it is empty
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

// errCursor is the one thing that can be wrong with the bytes of a cursor.
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

// count is bounded by the bytes there are: an entry takes at least nine.
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

package analysis

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/serindev/serin/share"
)

// Selector is a PromQL vector selector as a user writes it: a metric name and label matchers. Serin adds the range
// itself. ${service}, ${arm}, ${version}, ${pods}, ${instances}, ${hosts} and declared parameters may occur inside
// label values and nowhere else.
type Selector string

// Source is what a metric measures: a [Ratio], [Slow], [Distribution], [Mean] or [Gauge].
//
//sumtype:decl
type Source interface{ source() }

// Ratio counts events over an exposure. Exactly one of Bad and Good is set.
type Ratio struct {
	// Bad selects the counter of unwanted events. More of them is worse.
	Bad Selector `json:"bad,omitempty"`
	// Good selects the counter of wanted events, which are compared as they are. Fewer of them is worse.
	Good Selector `json:"good,omitempty"`
	// Total selects the counter of the exposure.
	Total Selector `json:"total"`
	// AbsentZero: an arm with live exposure but without a series of events has had none, even if no arm has such a
	// series.
	AbsentZero bool `json:"absentZero,omitempty"`
}

// Slow counts requests above a bound of a latency histogram, over all requests.
type Slow struct {
	// Histogram selects a classic histogram's buckets (the name ends in _bucket) or a native histogram.
	Histogram Selector `json:"histogram"`
	// SlowerThan has to be a bucket bound of a classic histogram, in seconds. In a native histogram a bound inside a
	// bucket is interpolated, see [Histogram.AtMost].
	SlowerThan time.Duration `json:"slowerThan"`
}

// Distribution compares a whole histogram, bound by bound.
type Distribution struct {
	Histogram Selector `json:"histogram"`
	// Bounds are the finite upper bounds to compare at, ascending.
	Bounds []float64 `json:"bounds"`
	// Nearest is the bound that counts double; 0 means none.
	Nearest float64 `json:"nearest,omitempty"`
}

// Mean compares the mean of values, such as order totals or latencies: the increase of their sum over the increase of
// their count. Values must not be negative.
type Mean struct {
	Sum   Selector `json:"sum"`
	Count Selector `json:"count"`
}

// Gauge compares the mean of an instant vector over the series of an arm.
type Gauge struct {
	Query string `json:"query"`
}

func (Ratio) source()        {}
func (Slow) source()         {}
func (Distribution) source() {}
func (Mean) source()         {}
func (Gauge) source()        {}

// Baseline is what a metric is compared with: [Concurrent], [Fixed] or [Offset].
//
//sumtype:decl
type Baseline interface{ baseline() }

// Concurrent compares with the baseline arm in the same window.
type Concurrent struct{}

// Fixed compares the canary alone with a rate that it must not exceed.
type Fixed struct {
	Rate share.Share `json:"rate"`
}

// Offset compares with the same window some time ago, under the baseline's names.
type Offset struct {
	By time.Duration `json:"by"`
}

func (Concurrent) baseline() {}
func (Fixed) baseline()      {}
func (Offset) baseline()     {}

// The tags of the JSON forms.
const (
	kindRatio        = "ratio"
	kindSlow         = "slow"
	kindDistribution = "distribution"
	kindMean         = "mean"
	kindGauge        = "gauge"
	kindConcurrent   = "concurrent"
	kindFixed        = "fixed"
	kindOffset       = "offset"
)

type tag struct {
	Kind string `json:"kind"`
}

func marshalSource(s Source) ([]byte, error) {
	switch s := s.(type) {
	case Ratio:
		return json.Marshal(struct {
			tag
			Ratio
		}{tag{kindRatio}, s})
	case Slow:
		return json.Marshal(struct {
			tag
			Slow
		}{tag{kindSlow}, s})
	case Distribution:
		return json.Marshal(struct {
			tag
			Distribution
		}{tag{kindDistribution}, s})
	case Mean:
		return json.Marshal(struct {
			tag
			Mean
		}{tag{kindMean}, s})
	case Gauge:
		return json.Marshal(struct {
			tag
			Gauge
		}{tag{kindGauge}, s})
	case nil:
	}
	return nil, fmt.Errorf("metric has no source")
}

func unmarshalSource(b []byte) (Source, error) {
	var k tag
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, fmt.Errorf("decode source: %w", err)
	}
	switch k.Kind {
	case kindRatio:
		return decode[Ratio](b)
	case kindSlow:
		return decode[Slow](b)
	case kindDistribution:
		return decode[Distribution](b)
	case kindMean:
		return decode[Mean](b)
	case kindGauge:
		return decode[Gauge](b)
	}
	return nil, fmt.Errorf("unknown kind of source %q", k.Kind)
}

func marshalBaseline(b Baseline) ([]byte, error) {
	switch b := b.(type) {
	case Fixed:
		return json.Marshal(struct {
			tag
			Fixed
		}{tag{kindFixed}, b})
	case Offset:
		return json.Marshal(struct {
			tag
			Offset
		}{tag{kindOffset}, b})
	case Concurrent:
		return json.Marshal(tag{kindConcurrent})
	case nil:
	}
	return nil, nil // not set: the default, and the field is omitted
}

func unmarshalBaseline(b []byte) (Baseline, error) {
	if len(b) == 0 {
		return nil, nil //nolint:nilnil // "not set" was stored
	}
	var k tag
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, fmt.Errorf("decode baseline: %w", err)
	}
	switch k.Kind {
	case kindConcurrent:
		return Concurrent{}, nil
	case kindFixed:
		return decode[Fixed](b)
	case kindOffset:
		return decode[Offset](b)
	}
	return nil, fmt.Errorf("unknown kind of baseline %q", k.Kind)
}

func decode[T any](b []byte) (T, error) {
	var v T
	err := json.Unmarshal(b, &v)
	return v, err
}

package scrape

import (
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/serindev/serin/analysis"
)

// point is one sample of one series.
type point struct {
	name   string
	key    string
	labels analysis.Labels
	sample analysis.Sample
	values int // its share of [MaxValues]
}

// points makes the samples of all families. They get the time of the scrape; timestamps that a target sets itself are
// ignored. Series carry the target's labels; a label of the same name is called exported_…, as Prometheus does it.
func points(families []*dto.MetricFamily, at int64, target analysis.Labels) []point {
	b := builder{at: at, target: target}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			b.metric(f.GetName(), m)
		}
	}
	return b.out
}

type builder struct {
	at     int64
	target analysis.Labels
	out    []point
}

func (b *builder) metric(name string, m *dto.Metric) {
	switch {
	case m.GetCounter() != nil:
		b.plain(name, m, "", "", m.GetCounter().GetValue())
	case m.GetGauge() != nil:
		b.plain(name, m, "", "", m.GetGauge().GetValue())
	case m.GetUntyped() != nil:
		b.plain(name, m, "", "", m.GetUntyped().GetValue())
	case m.GetSummary() != nil:
		s := m.GetSummary()
		for _, q := range s.GetQuantile() {
			b.plain(name, m, "quantile", number(q.GetQuantile()), q.GetValue())
		}
		b.plain(name+"_sum", m, "", "", s.GetSampleSum())
		b.plain(name+"_count", m, "", "", float64(s.GetSampleCount()))
	case m.GetHistogram() != nil:
		b.histogram(name, m)
	}
}

func (b *builder) histogram(name string, m *dto.Metric) {
	h := m.GetHistogram()
	count := float64(h.GetSampleCount())
	if f := h.GetSampleCountFloat(); f > 0 {
		count = f
	}
	native := native(h, count)
	if native != nil {
		b.add(name, m, "", "", analysis.Sample{T: b.at, H: native}, 1+len(native.Buckets))
	}
	if len(h.GetBucket()) == 0 && native != nil {
		return
	}
	whole := false
	for _, c := range h.GetBucket() {
		value := float64(c.GetCumulativeCount())
		if f := c.GetCumulativeCountFloat(); f > 0 {
			value = f
		}
		whole = whole || math.IsInf(c.GetUpperBound(), 1)
		b.plain(name+"_bucket", m, "le", number(c.GetUpperBound()), value)
	}
	if !whole {
		b.plain(name+"_bucket", m, "le", "+Inf", count)
	}
	b.plain(name+"_sum", m, "", "", h.GetSampleSum())
	b.plain(name+"_count", m, "", "", count)
}

// number writes a bound as Prometheus does.
func number(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if strings.ContainsAny(s, "e.IN") {
		return s
	}
	return s + ".0"
}

func (b *builder) plain(name string, m *dto.Metric, label, value string, v float64) {
	b.add(name, m, label, value, analysis.Sample{T: b.at, V: v}, 1)
}

func (b *builder) add(name string, m *dto.Metric, label, value string, x analysis.Sample, values int) {
	labels := make(analysis.Labels, 0, len(m.GetLabel())+len(b.target)+1)
	labels = append(labels, b.target...)
	for _, l := range m.GetLabel() {
		own := analysis.Label{Name: l.GetName(), Value: l.GetValue()}
		if slices.ContainsFunc(b.target, func(t analysis.Label) bool { return t.Name == own.Name }) {
			own.Name = "exported_" + own.Name
		}
		if own.Value != "" {
			labels = append(labels, own)
		}
	}
	if label != "" {
		labels = append(labels, analysis.Label{Name: label, Value: value})
	}
	slices.SortFunc(labels, func(a, b analysis.Label) int { return strings.Compare(a.Name, b.Name) })
	b.out = append(b.out, point{name: name, key: keyOf(name, labels), labels: labels, sample: x, values: values})
}

// keyOf identifies a series of a target. The labels are sorted by name.
func keyOf(name string, labels analysis.Labels) string {
	var key strings.Builder
	key.WriteString(name)
	for _, l := range labels {
		key.WriteByte(0xff) // in no UTF-8 text
		key.WriteString(l.Name)
		key.WriteByte(0xff)
		key.WriteString(l.Value)
	}
	return key.String()
}

// The schemas of native histograms with exponential buckets; there are others, which are left out.
const minSchema, maxSchema = -4, 8

// native returns the native histogram of h, or nil if h has only classic buckets.
func native(h *dto.Histogram, count float64) *analysis.Histogram {
	// A native histogram without observations has an empty span, which distinguishes it from a classic one.
	spans := len(h.GetPositiveSpan()) + len(h.GetNegativeSpan())
	zero := float64(h.GetZeroCount())
	if f := h.GetZeroCountFloat(); f > 0 {
		zero = f
	}
	if spans == 0 && zero == 0 && h.GetZeroThreshold() == 0 || h.GetSchema() < minSchema || h.GetSchema() > maxSchema {
		return nil
	}
	out := &analysis.Histogram{Count: count}
	negative := buckets(h.GetSchema(), h.GetNegativeSpan(), h.GetNegativeDelta(), h.GetNegativeCount())
	slices.Reverse(negative)
	for _, b := range negative {
		out.Buckets = append(out.Buckets, analysis.Bucket{Lower: -b.Upper, Upper: -b.Lower, Count: b.Count})
	}
	if zero > 0 {
		out.Buckets = append(out.Buckets, analysis.Bucket{Lower: -h.GetZeroThreshold(), Upper: h.GetZeroThreshold(), Count: zero})
	}
	out.Buckets = append(out.Buckets, buckets(h.GetSchema(), h.GetPositiveSpan(), h.GetPositiveDelta(), h.GetPositiveCount())...)
	return out
}

// buckets reads spans of buckets. Their counts are given as differences, or as absolute values if the histogram has
// fractions. Counts missing at the end are left out.
func buckets(schema int32, spans []*dto.BucketSpan, deltas []int64, counts []float64) []analysis.Bucket {
	out := make([]analysis.Bucket, 0, max(len(deltas), len(counts)))
	index, i, sum := int32(0), 0, int64(0)
	for _, span := range spans {
		index += span.GetOffset()
		for range span.GetLength() {
			var count float64
			switch {
			case i < len(deltas):
				sum += deltas[i]
				count = float64(sum)
			case i < len(counts):
				count = counts[i]
			default:
				return out
			}
			if count > 0 {
				out = append(out, analysis.Bucket{Lower: bound(schema, index-1), Upper: bound(schema, index), Count: count})
			}
			index++
			i++
		}
	}
	return out
}

// bound is the upper bound of a bucket: 2 to the power of index / 2^schema.
func bound(schema, index int32) float64 {
	if schema <= 0 {
		return math.Ldexp(1, int(index)<<-schema)
	}
	whole, part := index>>schema, index&(1<<schema-1)
	return math.Ldexp(math.Exp2(float64(part)/float64(int(1)<<schema)), int(whole))
}

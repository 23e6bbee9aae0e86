package scrape

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/serindev/serin/analysis"
)

// accept prefers protobuf, the only format with native histograms, and falls back to the text format that everything
// supports.
const accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.5"

// target is one address and what was read from it. The source guards all fields but the first five.
type target struct {
	address atomic.Pointer[string] // replaced when its password or query is learned
	shown   string                 // see [analysis.ShownURL]
	id      analysis.Target
	labels  analysis.Labels // job, instance, and more
	more    map[string]string

	series  map[string]*series // by name and labels
	named   map[string][]*series
	values  int       // of the last scrape
	scrapes []scraped // ascending
	started float64   // process_start_time_seconds
	mixed   int64     // when another process last answered, ms
	err     error     // of the last scrape
	busy    chan struct{}
	busyAt  int64

	stop context.CancelFunc // nil for a target that is always there
	gone bool               // it is no longer read
}

// scraped is the outcome of one scrape.
type scraped struct {
	at int64
	ok bool
}

// series holds a target's samples under one name and one set of labels.
type series struct {
	labels  analysis.Labels
	samples []analysis.Sample // ascending; only appended to or replaced, since answers share it
	thinAt  int               // the length at which old samples are thinned out
}

func newTarget(u *url.URL, more map[string]string) *target {
	labels := analysis.Labels{{Name: "instance", Value: u.Host}, {Name: "job", Value: Job}}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		labels = append(labels, analysis.Label{Name: name, Value: more[name]})
	}
	t := &target{
		shown: analysis.ShownURL(u), id: analysis.Target{Job: Job, Instance: u.Host}, labels: labels, more: more,
		series: map[string]*series{}, named: map[string][]*series{},
	}
	t.askAt(u)
	return t
}

// askAt replaces the full address including secrets.
func (t *target) askAt(u *url.URL) {
	address := u.String()
	t.address.Store(&address)
}

// last is when the last scrape began, ms; 0 before the first.
func (t *target) last() int64 {
	if len(t.scrapes) == 0 {
		return 0
	}
	return t.scrapes[len(t.scrapes)-1].at
}

// scrape requests the target's metrics.
func (t *target) scrape(ctx context.Context, client *http.Client) ([]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *t.address.Load(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address, which may hold a password
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	format := expfmt.ResponseFormat(resp.Header)
	if k := format.FormatType(); k != expfmt.TypeProtoDelim && k != expfmt.TypeTextPlain {
		return nil, fmt.Errorf("it answers with Content-Type %q: expected metrics in "+
			"Prometheus's text or protobuf format", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	if len(body) > MaxBody {
		return nil, fmt.Errorf("its answer is larger than %d MiB; for so many metrics use a Prometheus", MaxBody>>20)
	}
	return parse(body, format)
}

// parse reads the metrics with Prometheus's own parser.
func parse(body []byte, format expfmt.Format) ([]*dto.MetricFamily, error) {
	if format.FormatType() == expfmt.TypeProtoDelim {
		if err := whole(body); err != nil {
			return nil, fmt.Errorf("read its metrics: %w", err)
		}
	}
	decoder := expfmt.NewDecoder(bytes.NewReader(body), format)
	var out []*dto.MetricFamily
	for {
		var f dto.MetricFamily
		err := decoder.Decode(&f)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read its metrics: %w", err)
		}
		out = append(out, &f)
	}
}

// whole checks that a body contains the messages whose lengths it announces: the decoder allocates a message before
// reading it, and a made-up length could exceed the memory.
func whole(body []byte) error {
	for len(body) > 0 {
		length, n := binary.Uvarint(body)
		if n <= 0 {
			return io.ErrUnexpectedEOF
		}
		if body = body[n:]; length > uint64(len(body)) {
			return io.ErrUnexpectedEOF
		}
		body = body[length:]
	}
	return nil
}

// mixedFor is how long a target is distrusted after two processes have answered at its address.
const mixedFor = 5 * 60 * 1000

// keep adds the samples of a scrape. It fails and keeps nothing if there are too many, or if several processes answer at
// the address: their counters would look like restarts.
func (s *Source) keep(t *target, at int64, families []*dto.MetricFamily) error {
	found := points(families, at, t.labels)
	values := 0
	for i := range found {
		values += found[i].values
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.gone {
		return nil
	}
	if started := startOf(found); started > 0 {
		if started < t.started {
			t.mixed = at
		}
		t.started = started
	}
	if t.mixed > 0 && at-t.mixed < mixedFor {
		return errors.New("several processes answer at this address by turns, so their counters cannot be told " +
			"apart: give each one's own address as a target")
	}
	if s.values-t.values+values > MaxValues {
		return fmt.Errorf("it has %d values, and with the other targets that is more than %d; for so many use a Prometheus", values, MaxValues)
	}
	if err := s.room(t, at, found); err != nil {
		return err
	}
	s.values += values - t.values
	s.metrics.values.Add(float64(values - t.values))
	t.values = values
	for i := range found {
		t.add(&found[i])
	}
	t.forget(at)
	return nil
}

// maxSeries bounds the series that are kept, including vanished ones.
const maxSeries = 2 * MaxValues

// room makes room for new series by dropping those that vanished longer ago than a window may be late.
func (s *Source) room(t *target, at int64, found []point) error {
	all := 0
	for i := range found {
		if t.series[found[i].key] == nil {
			all++
		}
	}
	if all == 0 {
		return nil
	}
	for _, o := range s.targets {
		all += len(o.series)
	}
	if all <= maxSeries {
		return nil
	}
	for _, o := range s.targets {
		before := len(o.series)
		o.drop(at - raw.Milliseconds())
		all -= before - len(o.series)
	}
	if all > maxSeries {
		return fmt.Errorf("more than %d series came within %s, because a label has a new value each time; for "+
			"so many use a Prometheus", maxSeries, raw)
	}
	return nil
}

// startOf is when the process that answered was started, or 0 if unknown.
func startOf(found []point) float64 {
	for i := range found {
		if found[i].name == "process_start_time_seconds" {
			return found[i].sample.V
		}
	}
	return 0
}

// add appends a sample to its series. A second sample of the series in one scrape is left out.
func (t *target) add(p *point) {
	x := t.series[p.key]
	if x == nil {
		x = &series{labels: p.labels}
		t.series[p.key] = x
		t.named[p.name] = append(t.named[p.name], x)
	}
	if n := len(x.samples); n > 0 && x.samples[n-1].T >= p.sample.T {
		return
	}
	x.samples = append(x.samples, p.sample)
	if len(x.samples) >= x.thinAt {
		x.samples = thin(x.samples, p.sample.T)
		x.thinAt = len(x.samples) + 64
	}
}

// thin keeps every sample of the last minutes and, before them, the last one of each minute, as far back as [Kept].
func thin(samples []analysis.Sample, now int64) []analysis.Sample {
	out := make([]analysis.Sample, 0, len(samples)+64)
	for i, x := range samples {
		switch age := now - x.T; {
		case age > Kept.Milliseconds():
		case age > raw.Milliseconds() && i+1 < len(samples) && samples[i+1].T/minute == x.T/minute:
		default:
			out = append(out, x)
		}
	}
	return out
}

// forget drops the series and the scrapes that are older than [Kept]. Once in a while is often enough.
func (t *target) forget(now int64) {
	const enough = 1024
	old := now - Kept.Milliseconds()
	if len(t.scrapes) < enough || t.scrapes[enough/2].at > old {
		return
	}
	t.scrapes = slices.DeleteFunc(slices.Clone(t.scrapes), func(x scraped) bool { return x.at <= old })
	t.drop(old)
}

// drop removes the series that have no sample after a time.
func (t *target) drop(old int64) {
	gone := func(x *series) bool { return x.samples[len(x.samples)-1].T <= old }
	for key, x := range t.series {
		if gone(x) {
			delete(t.series, key)
		}
	}
	for name, all := range t.named {
		if all = slices.DeleteFunc(slices.Clone(all), gone); len(all) > 0 {
			t.named[name] = all
			continue
		}
		delete(t.named, name)
	}
}

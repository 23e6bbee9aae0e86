package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/serindev/serin/analysis"
)

// Day stores what was read, in parts: the last sample of each minute of every series, which contains the counts of that
// minute. So a restarted daemon knows the day from which a release learns.
type Day interface {
	// Load returns the stored parts, oldest first.
	Load(ctx context.Context) ([][]byte, error)
	// Keep stores a part whose newest sample is from the given time, and forgets those older than before. The same part
	// may be stored again.
	Keep(ctx context.Context, at time.Time, part []byte, before time.Time) error
}

const (
	// keepEvery is how often a part is stored, and so the most that a killed daemon loses of the day.
	keepEvery = 10 * time.Minute
	// partOver is the longest time that one part covers: what could not be stored for hours is divided into several
	// parts, none of them too large.
	partOver = time.Hour
	// keepTimeout bounds storing a part, also when the daemon stops.
	keepTimeout = 5 * time.Second
	// maxPart bounds a part, in bytes before compression.
	maxPart = 64 << 20

	partVersion = 1
	minute      = 60_000 // ms
)

// part is the stored form: JSON, compressed by gzip. Fields are added, and none is renamed.
type part struct {
	Version int          `json:"version"`
	Targets []partTarget `json:"targets"`
}

type partTarget struct {
	// Address has no secrets, see [analysis.ShownURL]. Earlier versions stored its query.
	Address string            `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Scrapes holds when it was read, once a minute, ms.
	Scrapes []int64      `json:"scrapes"`
	Series  []partSeries `json:"series"`
}

type partSeries struct {
	Name string `json:"name"`
	// Labels include those of the target.
	Labels  map[string]string `json:"labels"`
	Samples []partSample      `json:"samples"`
}

type partSample struct {
	T int64     `json:"t"`
	V exact     `json:"v,omitempty"`
	H *partHist `json:"h,omitempty"`
}

type partHist struct {
	Count exact `json:"count"`
	// Buckets are lower bound, upper bound and count of each.
	Buckets [][3]exact `json:"buckets"`
}

// exact is a number that may be infinite or NaN, for which JSON has no notation.
type exact float64

// MarshalText implements [encoding.TextMarshaler].
func (e exact) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(e), 'g', -1, 64), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (e *exact) UnmarshalText(b []byte) error {
	v, err := strconv.ParseFloat(string(b), 64)
	*e = exact(v)
	return err
}

// days stores what is read until ctx is done, and then the rest.
func (s *Source) days(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.keepDay(context.WithoutCancel(ctx), true)
			return ctx.Err()
		case <-tick.C:
			s.keepDay(ctx, false)
		}
	}
}

// keepDay stores what was read since the last part: whole minutes, and when the daemon stops also the current one. What
// could not be stored is stored with the next part.
func (s *Source) keepDay(ctx context.Context, all bool) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	now := s.clock()
	until := now.UnixMilli()
	if !all {
		until -= until % minute
	}
	s.kept = max(s.kept, now.Add(-Kept).UnixMilli())
	for s.kept < until {
		to := min(until, s.kept+partOver.Milliseconds())
		newest, err := s.keepPart(ctx, to, now.Add(-Kept))
		switch {
		case err != nil:
			s.log.Warn("samples could not be stored for the next start", "err", err)
			return
		case newest > 0:
			s.kept = newest
		case to == until:
			return
		default:
			s.kept = to
		}
	}
}

// keepPart stores what was read up to a time and is not stored yet, and returns the time of its newest sample; 0 if
// there is nothing.
func (s *Source) keepPart(ctx context.Context, to int64, before time.Time) (newest int64, err error) {
	p, newest := s.part(s.kept, to)
	if newest == 0 {
		return 0, nil
	}
	body, err := p.encode()
	if err != nil {
		return 0, err
	}
	return newest, s.day.Keep(ctx, time.UnixMilli(newest), body, before)
}

// part returns what was read in a window with an exclusive start, and the time of its newest sample; 0 if there is
// nothing.
func (s *Source) part(from, to int64) (p part, newest int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p.Version = partVersion
	for _, t := range s.targets {
		of := partTarget{Address: t.shown, Labels: t.more}
		for _, x := range lastOfMinutes(t.scrapes, from, to, func(x scraped) int64 { return x.at }) {
			if x.ok {
				of.Scrapes = append(of.Scrapes, x.at)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(t.named)) {
			for _, x := range t.named[name] {
				series := partSeries{Name: name, Labels: map[string]string{}}
				for _, sample := range lastOfMinutes(x.samples, from, to, func(x analysis.Sample) int64 { return x.T }) {
					series.Samples = append(series.Samples, stored(sample))
					newest = max(newest, sample.T)
				}
				if len(series.Samples) == 0 {
					continue
				}
				for _, l := range x.labels {
					series.Labels[l.Name] = l.Value
				}
				of.Series = append(of.Series, series)
			}
		}
		if len(of.Series) > 0 {
			p.Targets = append(p.Targets, of)
		}
	}
	return p, newest
}

// lastOfMinutes returns the last sample of each minute of a window with an exclusive start.
func lastOfMinutes[T any](all []T, from, to int64, at func(T) int64) []T {
	var out []T
	for i, x := range all {
		t := at(x)
		if t <= from || t > to || i+1 < len(all) && at(all[i+1]) <= to && at(all[i+1])/minute == t/minute {
			continue
		}
		out = append(out, x)
	}
	return out
}

func stored(x analysis.Sample) partSample {
	if x.H == nil {
		return partSample{T: x.T, V: exact(x.V)}
	}
	h := &partHist{Count: exact(x.H.Count)}
	for _, b := range x.H.Buckets {
		h.Buckets = append(h.Buckets, [3]exact{exact(b.Lower), exact(b.Upper), exact(b.Count)})
	}
	return partSample{T: x.T, H: h}
}

func (x partSample) sample() analysis.Sample {
	if x.H == nil {
		return analysis.Sample{T: x.T, V: float64(x.V)}
	}
	h := &analysis.Histogram{Count: float64(x.H.Count)}
	for _, b := range x.H.Buckets {
		h.Buckets = append(h.Buckets, analysis.Bucket{Lower: float64(b[0]), Upper: float64(b[1]), Count: float64(b[2])})
	}
	return analysis.Sample{T: x.T, H: h}
}

func (p *part) encode() ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	if len(text) > maxPart {
		return nil, fmt.Errorf("it is larger than %d MiB", maxPart>>20)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

func decodePart(body []byte) (p part, err error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return p, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxPart+1))
	if err != nil {
		return p, err
	}
	if len(text) > maxPart {
		return p, fmt.Errorf("it is larger than %d MiB", maxPart>>20)
	}
	if err = json.Unmarshal(text, &p); err == nil && p.Version != partVersion {
		err = fmt.Errorf("version %d is not known", p.Version)
	}
	return p, err
}

// recall loads what an earlier daemon has stored, before anything is scraped. A part that cannot be decoded is left
// out.
func (s *Source) recall(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	parts, err := s.day.Load(ctx)
	if err != nil {
		s.log.Warn("samples from before the start are unavailable", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, now := s.clock().Add(-Kept).UnixMilli(), s.clock().UnixMilli()
	for _, body := range parts {
		p, err := decodePart(body)
		if err != nil {
			s.log.Warn("some samples from before the start cannot be decoded", "err", err)
			continue
		}
		for _, of := range p.Targets {
			s.remember(of, old, now)
		}
	}
}

// remember adds to a target what was read from it in a window with an exclusive start. A target that is no longer read
// is kept as such.
func (s *Source) remember(of partTarget, old, now int64) {
	t := s.remembered(of)
	if t == nil {
		return
	}
	for _, at := range of.Scrapes {
		if at > max(old, t.last()) && at <= now {
			t.scrapes = append(t.scrapes, scraped{at, true})
		}
	}
	room := maxSeries
	for _, o := range s.targets {
		room -= len(o.series)
	}
	for _, x := range of.Series {
		var labels analysis.Labels
		for _, name := range slices.Sorted(maps.Keys(x.Labels)) {
			labels = append(labels, analysis.Label{Name: name, Value: x.Labels[name]})
		}
		p := point{name: x.Name, key: keyOf(x.Name, labels), labels: labels}
		if t.series[p.key] == nil {
			if room--; room < 0 {
				continue
			}
		}
		for _, sample := range x.Samples {
			if p.sample = sample.sample(); sample.T > old && sample.T <= now {
				t.add(&p)
				s.kept = max(s.kept, sample.T)
			}
		}
	}
}

// remembered is the target of a part; nil if there are too many targets, or it is invalid.
func (s *Source) remembered(of partTarget) *target {
	u, err := url.Parse(of.Address)
	if err != nil {
		return nil
	}
	shown := analysis.ShownURL(u)
	for _, t := range s.targets {
		if t.shown == shown && maps.Equal(t.more, of.Labels) {
			return t
		}
	}
	if len(s.targets) >= MaxTargets+maxGone {
		return nil
	}
	t := newTarget(u, of.Labels)
	t.gone, t.stop = true, func() {}
	s.targets = append(s.targets, t)
	return t
}

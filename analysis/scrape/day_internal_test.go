package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/judge"
)

// shelf is a Day in memory.
type shelf struct {
	parts [][]byte
	ats   []time.Time
	fails error
}

func (s *shelf) Load(context.Context) ([][]byte, error) { return s.parts, s.fails }

func (s *shelf) Keep(_ context.Context, at time.Time, part []byte, before time.Time) error {
	if s.fails != nil {
		return s.fails
	}
	s.parts, s.ats = append(s.parts, part), append(s.ats, at)
	for len(s.ats) > 0 && s.ats[0].Before(before) {
		s.parts, s.ats = s.parts[1:], s.ats[1:]
	}
	return nil
}

// past is what a release would learn about stable now.
func past(t *testing.T, s *Source) map[string]judge.History {
	t.Helper()
	h, err := analysis.NewHistory(analysis.Definition{Metrics: []analysis.Metric{{
		Name: "errors", Source: analysis.Ratio{Bad: `bad_total{arm="stable"}`, Total: `requests_total{arm="stable"}`},
	}}}.Defaults(), analysis.Names{Vars: map[string][]string{"arm": {"stable"}}})
	require.NoError(t, err)
	for _, part := range h.Parts(s.clock()) {
		_ = h.Add(s.Fetch(t.Context(), h.Asks(part)), part) // nothing is learned from a part without an answer
	}
	return h.Sums()
}

// A restarted source knows at once what the previous one knew of the day.
func TestADayIsKnownAfterARestart(t *testing.T) {
	var requests atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		n := requests.Load()
		fmt.Fprintf(w, "requests_total{arm=\"stable\"} %d\nbad_total{arm=\"stable\"} %d\n", 100*n, n+n/7)
	}))
	t.Cleanup(exporter.Close)
	kept, now := &shelf{}, time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC)
	start := func() *Source {
		s, err := New(Config{Targets: []string{exporter.URL + "/metrics"}, Day: kept}, prometheus.NewRegistry())
		require.NoError(t, err)
		s.clock = func() time.Time { return now }
		s.recall(t.Context())
		return s
	}
	first := start()
	run := func(s *Source, minutes int) {
		for i := range 4 * minutes {
			now = now.Add(15 * time.Second)
			requests.Add(3)
			s.read(t.Context(), s.targets[0])
			if i%40 == 39 {
				s.keepDay(t.Context(), false)
			}
		}
	}
	run(first, 5*60+7)
	first.keepDay(t.Context(), true)
	second := start()
	now = now.Add(15 * time.Second)
	first.read(t.Context(), first.targets[0])
	second.read(t.Context(), second.targets[0])
	known, again := past(t, first)["errors"].Baseline, past(t, second)["errors"].Baseline
	require.Greater(t, len(known.Total), 5*60)
	require.Len(t, again.Total, len(known.Total))
	sums := func(s judge.Sums) (bad, total float64) {
		for i := range s.Total {
			bad, total = bad+s.Bad[i], total+s.Total[i]
		}
		return bad, total
	}
	bad, total := sums(known)
	badAgain, totalAgain := sums(again)
	require.InDelta(t, bad, badAgain, 15, "but what was before the first minute was over")
	require.InDelta(t, total, totalAgain, 1200)
	old := len(known.Total) - 40 // the first source had every sample of the last minutes
	require.Equal(t, known.Total[old-4*60:old], again.Total[old-4*60:old])

	// The day goes on, and what is older than a day is forgotten.
	run(second, 24*60)
	require.LessOrEqual(t, len(kept.parts), 146)
	third := start()
	require.Greater(t, third.targets[0].last(), now.Add(-11*time.Minute).UnixMilli())
	for _, x := range third.targets[0].series {
		require.Greater(t, x.samples[0].T, now.Add(-Kept).UnixMilli())
	}
}

func TestWhatCouldNotBeStoredIsStoredWithTheNextPart(t *testing.T) {
	kept, now := &shelf{fails: fmt.Errorf("no space left on device")}, time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	s, err := New(Config{Targets: []string{"http://127.0.0.1:1/metrics"}, Day: kept, Log: slog.New(slog.NewTextHandler(&log, nil))}, prometheus.NewRegistry())
	require.NoError(t, err)
	s.clock = func() time.Time { return now }
	s.keepDay(t.Context(), false)
	require.Empty(t, log.String(), "there is nothing yet")
	s.targets[0].add(&point{name: "m", key: "m", labels: analysis.Labels{{Name: "job", Value: Job}}, sample: analysis.Sample{T: now.UnixMilli() - 90_000, V: 7}})
	s.keepDay(t.Context(), false)
	require.Contains(t, log.String(), "no space left on device")
	kept.fails = nil
	now = now.Add(10 * time.Minute)
	s.keepDay(t.Context(), false)
	require.Len(t, kept.parts, 1)
	s.keepDay(t.Context(), false)
	require.Len(t, kept.parts, 1, "there is nothing new")
}

// After hours in which the store refused everything, all of it is stored in several parts, none of them too large.
func TestHoursThatCouldNotBeStoredAreDividedIntoParts(t *testing.T) {
	begin := time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC)
	kept, now := &shelf{fails: fmt.Errorf("the database is away")}, begin
	start := func() *Source {
		s, err := New(Config{Targets: []string{"http://127.0.0.1:1/metrics"}, Day: kept}, prometheus.NewRegistry())
		require.NoError(t, err)
		s.clock = func() time.Time { return now }
		return s
	}
	s := start()
	for i := range 7*60 + 5 {
		now = begin.Add(time.Duration(i) * time.Minute)
		s.targets[0].add(&point{name: "m", key: "m", labels: analysis.Labels{{Name: "job", Value: Job}}, sample: analysis.Sample{T: now.UnixMilli(), V: float64(i)}})
		if i%10 == 0 {
			s.keepDay(t.Context(), false)
		}
	}
	kept.fails = nil
	s.keepDay(t.Context(), true)
	require.Greater(t, len(kept.parts), 7)
	for _, body := range kept.parts {
		p, err := decodePart(body)
		require.NoError(t, err)
		samples := p.Targets[0].Series[0].Samples
		require.LessOrEqual(t, samples[len(samples)-1].T-samples[0].T, partOver.Milliseconds())
	}
	again := start()
	again.recall(t.Context())
	require.Len(t, again.targets[0].named["m"][0].samples, 7*60+5)
}

func TestNoSecretOfATargetsAddressIsStored(t *testing.T) {
	s, err := New(Config{Targets: []string{"http://ann:secret@127.0.0.1:1/metrics?token=secret"}}, prometheus.NewRegistry())
	require.NoError(t, err)
	s.targets[0].add(&point{name: "m", key: "m", sample: analysis.Sample{T: 5, V: 7}})
	p, newest := s.part(0, 10)
	require.EqualValues(t, 5, newest)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret")
	require.NotContains(t, string(text), "ann")
}

// A replica that is gone keeps its part of the day, and continues under its address when it comes back, with the
// currently configured password.
func TestAReplicaFromBeforeTheStartContinuesWhenItComesBack(t *testing.T) {
	s := &Source{log: slog.New(slog.DiscardHandler), clock: time.Now}
	s.remember(partTarget{Address: "http://10.0.0.7:9100/metrics", Labels: map[string]string{"pod": "a"}, Scrapes: []int64{5}}, 0, 10)
	require.True(t, s.targets[0].gone)
	u, err := url.Parse("http://ann:secret@10.0.0.7:9100/metrics")
	require.NoError(t, err)
	same := s.targetAt(u, Target{Address: u.String(), Labels: map[string]string{"pod": "a"}})
	require.Same(t, s.targets[0], same)
	require.Equal(t, u.String(), *same.address.Load())
	require.NotSame(t, same, s.targetAt(u, Target{Address: u.String(), Labels: map[string]string{"pod": "b"}}), "another pod at its address")
}

// Earlier versions stored the query of an address.
func TestATargetWhoseQueryWasStoredContinues(t *testing.T) {
	s, err := New(Config{Targets: []string{"http://10.0.0.7:9100/metrics?token=new"}}, prometheus.NewRegistry())
	require.NoError(t, err)
	s.remember(partTarget{Address: "http://10.0.0.7:9100/metrics?token=old", Scrapes: []int64{5}}, 0, 10)
	require.Len(t, s.targets, 1)
	require.EqualValues(t, 5, s.targets[0].last())
	require.Equal(t, "http://10.0.0.7:9100/metrics?***", s.targets[0].shown)
}

// The stored form is frozen.
func TestAPartIsReadAsItWasStored(t *testing.T) {
	golden, err := os.ReadFile("testdata/part1.json")
	require.NoError(t, err)
	golden = bytes.TrimSpace(golden)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err = w.Write(golden)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	p, err := decodePart(b.Bytes())
	require.NoError(t, err)
	again, err := json.Marshal(p)
	require.NoError(t, err)
	require.Equal(t, string(golden), string(again))
	h := p.Targets[0].Series[1].Samples[0].sample()
	require.Equal(t, &analysis.Histogram{Count: 3, Buckets: []analysis.Bucket{{Lower: -1, Upper: 1, Count: 1}, {Lower: 1, Upper: math.Inf(1), Count: 2}}}, h.H)
	require.Equal(t, stored(h), p.Targets[0].Series[1].Samples[0])
}

func TestAPartThatCannotBeDecodedIsLeftOut(t *testing.T) {
	var log bytes.Buffer
	newer, err := (&part{Version: 2}).encode()
	require.NoError(t, err)
	kept := &shelf{parts: [][]byte{[]byte("no gzip"), newer}}
	s, err := New(Config{Targets: []string{"http://127.0.0.1:1/metrics"}, Day: kept, Log: slog.New(slog.NewTextHandler(&log, nil))}, prometheus.NewRegistry())
	require.NoError(t, err)
	s.recall(t.Context())
	require.Equal(t, 2, strings.Count(log.String(), "cannot be decoded"), log.String())
	require.Contains(t, log.String(), "version 2 is not known")
}

// FuzzPart: anything in the store is either decoded or refused.
func FuzzPart(f *testing.F) {
	good, err := (&part{Version: 1, Targets: []partTarget{{Address: "http://a/metrics", Scrapes: []int64{1}, Series: []partSeries{{Name: "m", Samples: []partSample{{T: 1, V: 1}}}}}}}).encode()
	require.NoError(f, err)
	f.Add(good)
	f.Fuzz(func(_ *testing.T, body []byte) {
		p, err := decodePart(body)
		if err != nil {
			return
		}
		s := &Source{log: slog.New(slog.DiscardHandler)}
		for _, of := range p.Targets {
			s.remember(of, 0, time.Hour.Milliseconds())
		}
	})
}

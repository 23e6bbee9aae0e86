package spinnaker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/serindev/serin/spinnaker"
)

// largeRequest is a remote-judge request of 5,000 points an arm for each metric, a few of them missing: 190 kB a metric.
func largeRequest(judge string, metrics int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"canaryConfig": {"judge": {"name": "RemoteJudge-v1.0", "judgeConfigurations": {"judge": "` + judge + `"}}, "metrics": [`)
	const points = 5000
	for i := range metrics {
		fmt.Fprintf(&b, `{"name": "m%d", "groups": ["g"], "query": {"type": "prometheus", "metricName": "m%d"}},`, i, i)
	}
	b.Truncate(b.Len() - 1)
	b.WriteString(`], "classifier": {"groupWeights": {"g": 100}}}, "scoreThresholds": {"pass": 95, "marginal": 75}, "metricSetPairList": [`)
	for i := range metrics {
		fmt.Fprintf(&b, `{"name": "m%d", "id": "%d", "tags": {}, "values": {`, i, i)
		for _, side := range []string{"control", "experiment"} {
			b.WriteString(`"` + side + `": [`)
			for j := range points {
				if j%1000 == 7 {
					b.WriteString("NaN,")
					continue
				}
				b.WriteString(strconv.FormatFloat(10+float64(i*7919+j*104729%1009)/991/3, 'g', 17, 64) + ",")
			}
			b.Truncate(b.Len() - 1)
			b.WriteString("],")
		}
		b.Truncate(b.Len() - 1)
		const scope = `{"startTimeMillis": 1744142400000, "startTimeIso": "2025-04-08T20:00:00Z", "stepMillis": 60000}`
		b.WriteString(`}, "scopes": {"control": ` + scope + `, "experiment": ` + scope + `}, "attributes": {}},`)
	}
	b.Truncate(b.Len() - 1)
	b.WriteString("]}")
	return b.Bytes()
}

// A request may be as large as the memory that a small daemon can spare, so it is read once and its numbers are held
// once; the judge needs some memory more. The test bounds what is allocated in all, which is more than is held at any
// time.
func TestALargeRequestTakesAFewTimesItsOwnSize(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	for path, c := range map[string]struct {
		body  []byte
		times uint64
	}{
		"/judge":             {largeRequest("NetflixACAJudge-v1.0", 20), 3},
		"/metricSetPairList": {pairsOf(t, largeRequest("", 20)), 12},
	} {
		var before, after runtime.MemStats
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(c.body))
		w := httptest.NewRecorder()
		runtime.ReadMemStats(&before)
		s.Handler().ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		took, size := after.TotalAlloc-before.TotalAlloc, uint64(len(c.body))
		t.Logf("%s: %.1f MB take %.1f MB", path, float64(size)/1e6, float64(took)/1e6)
		require.Less(t, float64(took), raceTakes*float64(c.times*size), path)
	}
}

// pairsOf returns the list of pairs of a request.
func pairsOf(t *testing.T, request []byte) []byte {
	t.Helper()
	_, list, ok := bytes.Cut(request, []byte(`"metricSetPairList": `))
	require.True(t, ok)
	return bytes.TrimSuffix(list, []byte("}"))
}

// held is a body of which nothing arrives until it ends.
type held struct {
	begun chan<- struct{}
	free  <-chan struct{}
	told  bool // whether begun was told
}

func (h *held) Read([]byte) (int, error) {
	if !h.told {
		h.told = true
		h.begun <- struct{}{}
	}
	<-h.free
	return 0, io.EOF
}

// A caller that announces a long body and sends nothing of it costs hardly any memory and blocks no other caller.
func TestAnAnnouncedLengthReservesNoMemory(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	begun, free := make(chan struct{}), make(chan struct{})
	post := func(path string, body io.Reader, length int64) int {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, body)
		r.ContentLength = length
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var all errgroup.Group
	for i := range 200 {
		all.Go(func() error {
			if code := post([]string{"/judge", "/metricSetPairList", "/canaryConfig"}[i%3], &held{begun: begun, free: free}, 4<<20); code != http.StatusBadRequest {
				return fmt.Errorf("status of an empty body: %d", code)
			}
			return nil
		})
		<-begun
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200*4<<20/8), "a first buffer each, not 800 MiB")
	require.Equal(t, http.StatusOK, post("/judge", bytes.NewReader(largeRequest("NetflixACAJudge-v1.0", 2)), -1), "the judge's slots are free")
	close(free)
	require.NoError(t, all.Wait())
}

// The memory of all bodies together is bounded. After a while, a caller that has got none is asked to try again.
func TestTheMemoryOfAllBodiesIsBounded(t *testing.T) {
	s := newService(t, spinnaker.Options{Store: openStore(t), Metrics: &direct{value: same}})
	synctest.Test(t, func(t *testing.T) {
		begun, free := make(chan struct{}), make(chan struct{})
		post := func(body io.Reader) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/judge", body)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			return w.Code
		}
		var all sync.WaitGroup
		for range 3 { // the buffer of each grows to the next power of two
			all.Go(func() {
				post(io.MultiReader(io.LimitReader(zeros{}, 20<<20), &held{begun: begun, free: free}))
			})
			<-begun
		}
		require.Equal(t, http.StatusServiceUnavailable, post(io.LimitReader(zeros{}, 30<<20)))
		close(free)
		all.Wait()
		require.Equal(t, http.StatusBadRequest, post(io.LimitReader(zeros{}, 30<<20)), "memory is free again")
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// BenchmarkRemoteJudge judges large requests one after another: some 55 MB for Kayenta's judge, and a tenth of that for
// Serin's own, which is slower.
func BenchmarkRemoteJudge(b *testing.B) {
	for judge, metrics := range map[string]int{"NetflixACAJudge-v1.0": 300, sequentialJudge: 30} {
		b.Run(judge, func(b *testing.B) {
			body := largeRequest(judge, metrics)
			s := newService(b, spinnaker.Options{Store: openStore(b), Metrics: &direct{value: same}})
			runtime.GC()
			peak := watchHeap(b)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/judge", bytes.NewReader(body))
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				require.Equal(b, http.StatusOK, w.Code, w.Body.String())
			}
			b.ReportMetric(float64(peak()-uint64(len(body)))/(1<<20), "peak-heap-MiB")
		})
	}
}

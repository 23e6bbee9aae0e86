package spinnaker_test

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/spinnaker"
)

// BenchmarkConcurrentRuns starts 200 runs of 30 metrics over an hour at once and waits for all: queries over HTTP to an
// imitation of Prometheus that answers at once, judging, SQLite. It reports the time and the queries of one run, and the
// peak of the heap.
func BenchmarkConcurrentRuns(b *testing.B) {
	for _, judge := range []string{"NetflixACAJudge-v1.0", sequentialJudge} {
		b.Run(judge, func(b *testing.B) {
			var queries atomic.Int64
			source := madeUp(b, func(q string, at time.Time) float64 {
				if at.Second() == 0 && at.Minute() == 0 {
					queries.Add(1)
				}
				return same(q, at)
			})
			s := newService(b, spinnaker.Options{Store: openStore(b), Metrics: source})
			var metrics []map[string]any
			for i := range 30 {
				metrics = append(metrics, metric(fmt.Sprintf("m%d", i), nil))
			}
			body := map[string]any{"canaryConfig": config(judge, nil, metrics...), "executionRequest": execution("shop-baseline", "shop-canary")}
			const concurrent = 200
			peak := watchHeap(b)
			b.ResetTimer()
			for b.Loop() {
				ids := make(chan string, concurrent)
				var all sync.WaitGroup
				for range concurrent {
					all.Go(func() {
						status, out := s.do(b, http.MethodPost, "/canary", nil, body)
						if status == http.StatusOK {
							ids <- pointer(out, "/canaryExecutionId").(string)
						}
					})
				}
				all.Wait()
				close(ids)
				n := 0
				for id := range ids {
					require.Equal(b, "succeeded", s.ended(b, "/canary/"+id)["status"])
					n++
				}
				require.Equal(b, concurrent, n)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/concurrent, "ms/run")
			b.ReportMetric(float64(queries.Load())/float64(b.N)/concurrent/2, "queries/run") // the full hour occurs twice, at both ends of the range
			b.ReportMetric(float64(peak())/(1<<20), "peak-heap-MiB")
		})
	}
}

// watchHeap samples the heap until the returned function is called, which returns the peak.
func watchHeap(b *testing.B) func() uint64 {
	b.Helper()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			case <-stop:
				done <- most
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-done
	}
}

package store_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store/storetest"
)

// BenchmarkSaveLooks writes slots with one look for each release, which has 20 looks already.
func BenchmarkSaveLooks(b *testing.B) {
	for _, size := range []int{1, 100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("sqlite/%d", size), func(b *testing.B) { benchmarkSlots(b, newSQLite(b), size) })
	}
	postgres := newPostgres(b)
	for _, size := range []int{1, 100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("postgres/%d", size), func(b *testing.B) { benchmarkSlots(b, postgres(b), size) })
	}
}

func benchmarkSlots(b *testing.B, url string, size int) {
	s := storetest.Open(b, url)
	slot := make([]record.LookRecord, size)
	next := func(number int) {
		for i := range slot {
			slot[i] = storetest.Look(fmt.Sprintf("01J%05d", (i*7919)%size), "gray", number)
			slot[i].Cursor = make([]byte, 200)
		}
	}
	for i := range slot {
		name := fmt.Sprintf("01J%05d", i)
		storetest.Create(b, s, name, name, "")
	}
	number := 0
	for ; number < 20; number++ {
		next(number + 1)
		require.NoError(b, s.SaveLooks(b.Context(), slot))
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		number++
		next(number)
		b.StartTimer()
		if err := s.SaveLooks(b.Context(), slot); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "looks/s")
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if info, err := os.Stat(path); err == nil {
			b.ReportMetric(float64(info.Size())/float64(size*number), "B/look")
		}
	}
}

// BenchmarkAppend writes one event at a time: the cost of being durable.
func BenchmarkAppend(b *testing.B) {
	for name, make := range map[string]func(testing.TB) string{"sqlite": newSQLite, "postgres": newPostgres(b)} {
		b.Run(name, func(b *testing.B) {
			s := storetest.Open(b, make(b))
			r := storetest.Create(b, s, "01A", "shop", "")
			for version := 1; b.Loop(); version++ {
				e := rollout.Paused{Meta: rollout.Meta{Seq: version + 1, At: storetest.Start}}
				if err := s.Append(b.Context(), r, version, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEvidence restores a scope with 100 looks after its snapshot, as every start does for each release.
func BenchmarkEvidence(b *testing.B) {
	s := storetest.Open(b, newSQLite(b))
	storetest.Create(b, s, "01A", "shop", "")
	var slot []record.LookRecord
	for n := range 100 {
		slot = append(slot, storetest.Look("01A", "gray", n+1))
	}
	require.NoError(b, s.SaveLooks(b.Context(), slot))
	b.ReportAllocs()
	for b.Loop() {
		e, err := s.Evidence(b.Context(), "01A", "gray")
		if err != nil || len(e.Since) != 100 {
			b.Fatal(err, len(e.Since))
		}
	}
}

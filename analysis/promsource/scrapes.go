package promsource

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/analysis"
)

// need names the targets whose scrapes are needed to count asks whose windows end at the same time.
type need struct {
	from, to int64
	targets  map[analysis.Target]bool
	asks     []int
}

// scrapesNeeded finds new series. Most slots have none.
func scrapesNeeded(asks []analysis.Ask, answers []analysis.Answer) []*need {
	needs := map[int64]*need{}
	for i, a := range asks {
		to, mine := a.To.UnixMilli(), false
		for _, s := range answers[i].Series {
			target, ok := analysis.TargetOf(s.Labels)
			if !ok || !a.NeedsScrapes(s) {
				continue
			}
			from := a.ScrapesFrom().UnixMilli()
			n := needs[to]
			if n == nil {
				n = &need{from: from, to: to, targets: map[analysis.Target]bool{}}
				needs[to] = n
			}
			n.from = min(n.from, from)
			n.targets[target] = true
			mine = true
		}
		if mine {
			needs[to].asks = append(needs[to].asks, i)
		}
	}
	out := make([]*need, 0, len(needs))
	for _, to := range slices.Sorted(maps.Keys(needs)) {
		out = append(out, needs[to])
	}
	return out
}

// scrapes queries the scrapes of all targets of a need. If the query fails, so do the asks: counting a series without
// knowing whether it is new would be guesswork.
func (s *Source) scrapes(ctx context.Context, frame time.Duration, n *need, answers []analysis.Answer) {
	targets := slices.SortedFunc(maps.Keys(n.targets), func(a, b analysis.Target) int {
		return strings.Compare(a.Job+"\x00"+a.Instance, b.Job+"\x00"+b.Instance)
	})
	scrapes := map[analysis.Target][]int64{}
	for part := range slices.Chunk(targets, maxValues) {
		series, err := s.query(ctx, frame, analysis.ScrapesQuery(part, time.Duration(n.to-n.from)*time.Millisecond), n.to, "")
		if err != nil {
			for _, i := range n.asks {
				answers[i] = failed(err)
			}
			return
		}
		for _, x := range series[""] {
			if t, ok := analysis.TargetOf(x.Labels); ok {
				scrapes[t] = append(scrapes[t], succeeded(x.Samples)...)
			}
		}
	}
	for _, times := range scrapes {
		slices.Sort(times) // several series of one target, as from replicas of a Prometheus
	}
	for _, i := range n.asks {
		answers[i].Scrapes = scrapes
	}
}

func succeeded(samples []analysis.Sample) []int64 {
	var out []int64
	for _, x := range samples {
		if x.H == nil && x.V == 1 {
			out = append(out, x.T)
		}
	}
	return out
}

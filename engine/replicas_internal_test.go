package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// A look has the ages of all pods, or none where they say nothing. The clocks of cluster and source may differ from the daemon's.
func TestAgesOfPods(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	look := judge.Look{At: at, Length: 10 * time.Second}
	ago := func(ages ...float64) (ready []time.Time) {
		for _, age := range ages {
			ready = append(ready, at.Add(-time.Duration(age*float64(time.Second))))
		}
		return ready
	}
	look.Replicas = []judge.Replica{{Age: 3, Total: 7}}
	require.Equal(t, look.Replicas, follow{}.replicas(look, 0), "without pods it is what the look says")
	look.Replicas = nil
	for name, c := range map[string]struct {
		ready  []time.Time
		behind time.Duration
		first  bool
		want   []float64
	}{
		"nothing is known":                              {first: true},
		"the first look":                                {ready: ago(100, 200), first: true, want: []float64{100, 200}},
		"a later one":                                   {ready: ago(100, 200)},
		"one has just started":                          {ready: ago(10, 200), want: []float64{10, 200}},
		"one started a little earlier":                  {ready: ago(10.5, 200)},
		"one started after the look":                    {ready: ago(-1, 200)},
		"one started after the first look":              {ready: ago(-1, 200), first: true, want: []float64{200}},
		"the cluster's clock is far ahead":              {ready: ago(-3600, -3600), first: true},
		"the source's clock is behind":                  {ready: ago(-55, 200), behind: time.Minute, want: []float64{5, 260}},
		"the source's clock is ahead, after it all":     {ready: ago(30, 200), behind: -time.Minute},
		"the source's clock is ahead, just as it began": {ready: ago(65, 200), behind: -time.Minute, want: []float64{5, 140}},
	} {
		var ages []float64
		l := look
		if l.Replicas = (follow{ready: c.ready}).replicas(look, c.behind); !telling(l, c.first) {
			l.Replicas = nil
		}
		for _, r := range l.Replicas {
			require.InDelta(t, 1, r.Total, 0, name)
			ages = append(ages, r.Age)
		}
		require.Equal(t, c.want, ages, name)
	}
}

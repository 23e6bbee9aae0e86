package docs

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/chart"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/sequential"
)

// example is one picture: 300 requests a second, half of them for each arm, of which a share fails, and a look by the real
// judge every ten seconds.
type example struct {
	file, title, about string
	// bad is the canary's share of failures from fault on. Before that, and for the baseline, it is 1%.
	bad   float64
	fault time.Duration
	long  time.Duration
}

var examples = []example{
	{"good.svg", "A canary that is no worse", "The ratio of the arms' error rates over half an hour: the band narrows around 1 until all of it lies below the margin.", .01, 0, 30 * time.Minute},
	{"bad.svg", "A canary that is worse", "The ratio over some minutes: the whole band lies above 1 and the estimate above the margin.", .03, 0, 4 * time.Minute},
	{"late.svg", "A canary that becomes worse after 15 minutes", "The ratio of the whole release rises slowly; evidence that was begun again finds the fault within minutes.", .03, 15 * time.Minute, 22 * time.Minute},
}

func settings() judge.Settings {
	wait := 10 * time.Minute
	return judge.Settings{
		FalseRollback: .01, FalseAdvance: .05, PassAfter: &wait,
		Metrics: []judge.Metric{{Name: "errors", Kind: judge.Counts, Direction: judge.Increase, Weight: 1, Noise: .3, MinRequests: 100, Margin: judge.Margin{Relative: .25}}},
	}
}

// noisy is a past with a known noise, as every release after the first has.
var noisy = map[string][]judge.Past{"errors": {{Release: true, Rate: 0.01, Blocks: [3]judge.Blocks{
	{Squares: 4000, Variance: 4000, Weight: 400000, Fourth: 1e9, Count: 40},
}}}}

func TestThePicturesAreThoseOfTheJudge(t *testing.T) {
	for _, e := range examples {
		c, last := e.draw(t)
		current(t, "pictures/"+e.file, string(c.Standalone()))
		_, err := os.Stat("pictures/" + e.file)
		require.NoError(t, err)
		want := judge.Fail
		if e.bad == .01 {
			want = judge.Pass
		}
		require.Equal(t, want, last.Outcome, e.file)
	}
}

// draw lets the judge look until it decides or the time is over. With a late fault it continues after a pass.
func (e example) draw(t *testing.T) (chart.Chart, judge.Verdict) {
	t.Helper()
	j, err := sequential.New(settings())
	require.NoError(t, err)
	const every, requests = 10 * time.Second, 1500
	random, begin := rand.New(rand.NewPCG(7, 7)), time.Unix(0, 0).UTC() //nolint:gosec // the same picture every time
	evidence := j.Begin(noisy)
	var v judge.Verdict
	var ratio []chart.Point
	var band []chart.Range
	margin := 0.0
	moments := []chart.Moment(nil)
	if e.fault > 0 {
		moments = append(moments, chart.Moment{Name: "the fault begins", Class: "b", At: begin.Add(e.fault)})
	}
	for n := 1; time.Duration(n)*every <= e.long && v.Outcome != judge.Fail && (v.Outcome != judge.Pass || e.fault > 0); n++ {
		share := .01
		if time.Duration(n)*every > e.fault {
			share = e.bad
		}
		at := begin.Add(time.Duration(n) * every)
		evidence, v = j.Look(evidence, judge.Look{
			Number: n, At: at, Length: every, Weight: .5,
			Observations: []judge.Observation{{Metric: "errors", Canary: arm(random, requests, share), Baseline: arm(random, requests, .01)}},
		})
		if m := v.Metrics[0]; m.Ratio > 0 {
			ratio, margin = append(ratio, chart.Point{At: at, Value: m.Ratio}), m.Margin
			band = append(band, chart.Range{At: at, Lower: m.Lower, Upper: m.Upper})
		}
	}
	moments = append(moments, chart.Moment{Name: string(v.Outcome), Class: "a", At: v.At})
	return chart.Chart{
		ID: "picture", Title: e.title, Description: e.about, Origin: begin, From: begin, To: begin.Add(e.long),
		Y:       chart.Axis{Label: "canary's error rate over baseline's", Log: true, Min: .5, Max: 5},
		Lines:   []chart.Line{{Name: "estimate", Class: "canary", Points: ratio}},
		Bands:   []chart.Band{{Name: "confidence sequence", Class: "canary", Ranges: band}},
		Limits:  []chart.Limit{{Name: "no difference", Class: "baseline", Value: 1}, {Name: "margin", Class: "b", Value: margin}},
		Moments: moments,
	}, v
}

// arm draws how many of the requests fail.
func arm(random *rand.Rand, requests int, share float64) judge.Arm {
	bad := 0
	for range requests {
		if random.Float64() < share {
			bad++
		}
	}
	return judge.Arm{Bad: float64(bad), Total: float64(requests)}
}

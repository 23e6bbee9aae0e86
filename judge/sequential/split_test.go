package sequential

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
)

// The reference goes on over changes of weight; a scope begins its split anew there (see evidence.turn), so the
// test of the split itself is what is held against more.json.
func TestTheSplitAgreesWithTheReferenceOverChangesOfWeight(t *testing.T) {
	for _, g := range goldenSplits(t) {
		t.Run(g.Name, func(t *testing.T) {
			var s split
			for i, l := range g.Looks {
				s.add(judge.Requests{Canary: l.Canary.Requests, Baseline: l.Baseline.Requests}, l.Weight, g.Seconds)
				v, e := s.verdict(g.Metric, l.Weight), g.Expected[i]
				phi, _ := s.noise(judge.Counts, supposition{noise: g.Metric.Noise})
				most := phi[0].phi
				for _, p := range phi {
					most = max(most, p.phi)
				}
				require.InDelta(t, e.Ratio, v.Ratio, 1e-9*max(1, e.Ratio), "look %d", i+1)
				require.InDelta(t, e.Noise, most, 1e-9*max(1, e.Noise), "look %d", i+1)
				require.InDelta(t, e.LogEvidence.More, v.More, 1e-9*max(1, e.LogEvidence.More), "look %d", i+1)
				require.InDelta(t, e.LogEvidence.Fewer, v.Fewer, 1e-9*max(1, e.LogEvidence.Fewer), "look %d", i+1)
				require.Equal(t, e.Verdict == "alarm", v.Alarm, "look %d", i+1)
			}
		})
	}
}

type goldenSplit struct {
	Name    string
	Metric  judge.Split
	Seconds float64
	Looks   []struct {
		Weight           float64
		Canary, Baseline struct{ Requests float64 }
	}
	Expected []struct {
		Ratio, Noise float64
		LogEvidence  struct{ More, Fewer float64 }
		Verdict      string
	}
}

func goldenSplits(t *testing.T) []goldenSplit {
	f, err := os.Open("../../testdata/sequential/more.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var all []json.RawMessage
	require.NoError(t, json.NewDecoder(z).Decode(&all))
	var splits []goldenSplit
	for _, raw := range all {
		var kind struct{ Metric struct{ Kind string } }
		require.NoError(t, json.Unmarshal(raw, &kind))
		if kind.Metric.Kind == "split" {
			splits = append(splits, goldenSplit{})
			require.NoError(t, json.Unmarshal(raw, &splits[len(splits)-1]))
		}
	}
	require.NotEmpty(t, splits)
	return splits
}

func TestASplitBeginsAnewWhenTheWeightChanges(t *testing.T) {
	j, err := New(judge.Settings{
		FalseRollback: 0.01, FalseAdvance: 0.05, Split: &judge.Split{Noise: 0.02, FalseAlarm: 0.001, Tolerance: 0.1},
		Metrics: []judge.Metric{{Name: "errors", Kind: judge.Counts, Weight: 1}},
	})
	require.NoError(t, err)
	e := j.Begin(nil)
	var v judge.Verdict
	for range 30 {
		e, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.05, Requests: &judge.Requests{Canary: 100, Baseline: 900}})
	}
	require.True(t, v.SampleRatio.Alarm, "10%% for 5%%")
	require.Equal(t, 0.1, v.SampleRatio.Share)

	e, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.05})
	require.True(t, v.SampleRatio.Alarm, "a look without requests leaves the test as it was")

	_, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.2, Requests: &judge.Requests{Canary: 200, Baseline: 800}})
	require.False(t, v.SampleRatio.Alarm)
	require.Equal(t, 1000.0, v.SampleRatio.Canary+v.SampleRatio.Baseline)

	_, v = j.Look(e, judge.Look{Length: 1e10, Weight: 0.2, Excluded: judge.WarmingUp})
	require.Nil(t, v.SampleRatio, "the old weight's test says nothing of the new one's")
}

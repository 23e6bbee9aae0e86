package sequential

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/statespace"
)

// Stored evidence may have been tampered with. Beliefs to which no looks could have led are refused, both of the
// comparison and of the floor, since the judge would compute with them.
func TestImpossibleBeliefsAreNotDecoded(t *testing.T) {
	j, err := New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{{
		Name: "errors", Kind: judge.Counts, Direction: judge.Increase, Weight: 1, Noise: 0.3, MinRequests: 100,
		Margin: judge.Margin{Relative: 0.25, Absolute: 0.001},
	}}})
	require.NoError(t, err)
	e := j.Begin(nil)
	for i := range 3 {
		e, _ = j.Look(e, judge.Look{
			Number: i + 1, At: time.Unix(int64(10*i), 0), Length: 10 * time.Second, Weight: 0.5,
			Observations: []judge.Observation{{Metric: "errors", Canary: judge.Arm{Bad: 2, Total: 100}, Baseline: judge.Arm{Bad: 1, Total: 100}}},
		})
	}
	good, err := e.Encode()
	require.NoError(t, err)
	taken := 0
	for i := len(magic) + 9; i < len(good); i++ {
		b := append([]byte(nil), good...)
		b[i] ^= [...]byte{0x80, 0x40, 0x10}[i%3]
		decoded, err := j.Decode(b)
		if err != nil {
			continue
		}
		taken++
		require.True(t, decoded.(*evidence).sound(), "byte %d of %d", i, len(good))
		_, v := j.Look(decoded, judge.Look{Number: 4, At: time.Unix(40, 0), Length: 10 * time.Second, Weight: 0.5})
		require.False(t, math.IsNaN(v.Metrics[0].LogEvidence.Worse))
	}
	require.Positive(t, taken)
}

// Each belief alone makes the evidence unsound: that of the ratio, and that of the floor.
func TestOneBeliefThatCannotBeIsEnoughToRefuseEvidence(t *testing.T) {
	j, err := New(judge.Settings{FalseRollback: 0.01, FalseAdvance: 0.05, Metrics: []judge.Metric{{
		Name: "errors", Kind: judge.Counts, Weight: 1, Noise: 0.3, Margin: judge.Margin{Relative: 0.25, Absolute: 0.001},
	}}})
	require.NoError(t, err)
	looked, _ := j.Look(j.Begin(nil), judge.Look{
		Number: 1, Length: 10 * time.Second, Weight: 0.5,
		Observations: []judge.Observation{{Metric: "errors", Canary: judge.Arm{Bad: 2, Total: 100}, Baseline: judge.Arm{Bad: 1, Total: 100}}},
	})
	e := looked.(*evidence)
	require.True(t, e.sound())
	c := &e.records[0].comparisons[0]
	model := j.metrics[0].model(&e.records[0].noise)
	state := model.Take(&c.state)
	for name, belief := range map[string]struct {
		numbers func(func(statespace.Number))
		sound   func() bool
	}{
		"of the ratio": {func(visit func(statespace.Number)) { model.Numbers(&state, visit) }, func() bool {
			c.state = model.Keep(&state)
			return model.Sound(&state)
		}},
		"of the floor": {func(visit func(statespace.Number)) { model.FloorNumbers(&c.floor, visit) }, func() bool { return model.SoundFloor(&c.floor) }},
	} {
		unsound := 0
		belief.numbers(func(n statespace.Number) {
			before := *n.At
			if *n.At = 50; !belief.sound() {
				unsound++
				require.False(t, e.sound(), name)
			}
			*n.At = before
			c.state = model.Keep(&state)
		})
		require.Positive(t, unsound, name)
		require.True(t, e.sound(), name)
	}
}

package kayenta

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// arm draws 1 to 25 values, often with ties, zeros of either sign and infinities.
func arm() *rapid.Generator[[]float64] {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.Map(rapid.IntRange(-3, 6), func(i int) float64 { return float64(i) / 2 }),
		rapid.Float64Range(-10, 10),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 1e308, -1e308, 5e-324, 0.1, 0.3}),
	), 1, 25)
}

// finiteArm draws values whose differences do not overflow.
func finiteArm() *rapid.Generator[[]float64] {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.Map(rapid.IntRange(-3, 6), func(i int) float64 { return float64(i) / 2 }),
		rapid.Float64Range(-10, 10),
	), 1, 25)
}

// naiveRanks follows the definition: for each value of x-d it counts the values below and half of the equal ones.
func naiveRanks(x, y []float64, d float64) (ranks, ties float64) {
	all := make([]float64, 0, len(x)+len(y))
	for _, v := range x {
		all = append(all, v-d)
	}
	all = append(all, y...)
	for i, v := range all {
		below, equal := 0.0, 0.0
		for _, u := range all {
			switch a, b := math.IsNaN(u) || math.IsInf(u, 1), math.IsNaN(v) || math.IsInf(v, 1); {
			case a && b, u == v && math.Signbit(u) == math.Signbit(v), u == v && v != 0:
				equal++
			case b && !a, !a && u < v, u == 0 && v == 0 && math.Signbit(u):
				below++
			}
		}
		if i < len(x) {
			ranks += below + (equal+1)/2
		}
		ties += equal*equal - 1 // over t equal ones: t³-t
	}
	return ranks, ties
}

func TestRanksFollowTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := arm().Draw(t, "x"), arm().Draw(t, "y")
		shift := rapid.OneOf(rapid.SampledFrom([]float64{0, 0.5, -1, 1e301, -1e302, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(0, -1)}),
			rapid.Float64Range(-10, 10), rapid.SampledFrom(x))
		w, d := newRankSum(x, y), shift.Draw(t, "d")
		for range rapid.IntRange(1, 8).Draw(t, "shifts") { // a walk starts from the result of the last one
			ranks, ties := w.rank(d)
			wantRanks, wantTies := naiveRanks(x, y, d)
			require.InDelta(t, wantRanks, ranks, 0)
			require.InDelta(t, wantTies, ties, 0)
			d = rapid.OneOf(shift, rapid.Just(d+0.01), rapid.Just(d-0.001), rapid.Just(d)).Draw(t, "next")
		}
	})
}

func TestBoundsStayInTheBracketAndArmsAreNotModified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := finiteArm().Draw(t, "x"), finiteArm().Draw(t, "y")
		copyX, copyY := slices.Clone(x), slices.Clone(y)
		i, err := MannWhitney(x, y, 0.98)
		require.Equal(t, copyX, x)
		require.Equal(t, copyY, y)
		if err != nil {
			require.ErrorIs(t, err, ErrAllTied)
			return
		}
		lo, hi := slices.Min(x)-slices.Max(y), slices.Max(x)-slices.Min(y)
		for _, v := range []float64{i.Lower, i.Upper, i.Estimate} {
			require.GreaterOrEqual(t, v, lo-rootTolerance)
			require.LessOrEqual(t, v, hi+rootTolerance)
		}
		slices.Reverse(x)
		again, err := MannWhitney(x, y, 0.98)
		require.NoError(t, err)
		require.Equal(t, i, again)
	})
}

// The standardized rank sum does not rise either, as long as the shift makes no different points of x tie.
func TestTheRankSumNeverRisesWithTheShift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := finiteArm().Draw(t, "x"), finiteArm().Draw(t, "y")
		w := newRankSum(x, y)
		d := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-25, 25), rapid.Custom(func(t *rapid.T) float64 {
			return rapid.SampledFrom(x).Draw(t, "of x") - rapid.SampledFrom(y).Draw(t, "of y") // points tie
		})), 2, 10).Draw(t, "d")
		slices.Sort(d)
		last, lastStandardized := math.Inf(1), math.Inf(1)
		for _, shift := range d {
			shift += 0 // turns -0 into 0
			ranks, _ := w.rank(shift)
			require.LessOrEqual(t, ranks, last)
			last = ranks
			if now := w.at(shift); w.steady() && !w.tied {
				require.LessOrEqual(t, now, lastStandardized+1e-9)
				lastStandardized = now
			}
		}
	})
}

func TestEffectsOfSwappedArmsSumToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := finiteArm().Draw(t, "x"), finiteArm().Draw(t, "y")
		require.InDelta(t, 1, newRankSum(x, y).cles()+newRankSum(y, x).cles(), 1e-12)
	})
}

func drawRequest(t *rapid.T) Request {
	q := Request{Pass: rapid.Float64Range(0, 100).Draw(t, "pass"), Marginal: rapid.Float64Range(0, 100).Draw(t, "marginal"),
		Weights: rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.Float64Range(-10, 60)).Draw(t, "weights")}
	for range rapid.IntRange(0, 5).Draw(t, "pairs") {
		s := DefaultSettings(rapid.Bool().Draw(t, "cles"))
		s.Direction = rapid.SampledFrom([]Direction{Either, Increase, Decrease}).Draw(t, "direction")
		s.ReplaceNaN, s.RemoveOutliers = rapid.Bool().Draw(t, "replace"), rapid.Bool().Draw(t, "outliers")
		s.Critical, s.MustHaveData = rapid.Bool().Draw(t, "critical"), rapid.Bool().Draw(t, "must")
		s.Muted = rapid.Bool().Draw(t, "muted")
		q.Pairs = append(q.Pairs, Pair{Name: "m", Settings: s, Control: arm().Draw(t, "control"), Experiment: arm().Draw(t, "experiment"),
			Groups: append([]string{}, rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c"})).Draw(t, "groups")...)})
	}
	return q
}

func TestJudgementsAreRepeatableAndCompleteWithReadableJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawRequest(t)
		r, err := Judge(q)
		require.NoError(t, err)
		require.Len(t, r.Metrics, len(q.Pairs))
		data, err := json.Marshal(r)
		require.NoError(t, err)
		again, err := Judge(q)
		require.NoError(t, err)
		repeated, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(data), string(repeated))
		Warnings(q, r)
	})
}

func TestMutedMetricsDoNotChangeTheScore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawRequest(t)
		with, err := Judge(q)
		require.NoError(t, err)
		q.Pairs = slices.DeleteFunc(q.Pairs, func(p Pair) bool { return p.Settings.Muted })
		without, err := Judge(q)
		require.NoError(t, err)
		require.Equal(t, without.Groups, with.Groups)
		require.Equal(t, []any{without.Score, without.Label, without.Reason}, []any{with.Score, with.Label, with.Reason})
	})
}

func TestScoresAreRoundedByTheirDecimalText(t *testing.T) {
	for v, want := range map[float64]float64{
		1.005: 1.01, 2.675: 2.68, -1.005: -1.01, 0.125: 0.13, 33.333333333333336: 33.33, 66.66666666666667: 66.67, 99.995: 100, 100: 100,
		-0.001: 0, 1e-320: 0, 0.005: 0.01, 1e300: 1e300, 4503599627370495.5: 4503599627370495.5, 0.1 + 0.2: 0.3, 35184372088831.766: 35184372088831.77,
	} {
		require.InDelta(t, want, roundScore(v), 0, "%v", v)
	}
	require.True(t, math.IsNaN(roundScore(math.NaN())))
	require.True(t, math.IsInf(roundScore(math.Inf(-1)), -1))
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.Float64Range(-1e6, 1e6), rapid.Float64()).Draw(t, "v")
		text, err := json.Marshal(v)
		require.NoError(t, err)
		exact, ok := new(big.Rat).SetString(string(text))
		require.True(t, ok)
		want, _ := new(big.Rat).SetString(exact.FloatString(2)) // halves away from zero
		f, _ := want.Float64()
		require.InDelta(t, f, roundScore(v), 0)
	})
}

func TestTheReaderAcceptsJSONAndBareWords(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a": [1, -0.5e3, "x\u00e9", null, true, {}], "b": {"c": []}}`: true,
		`[NaN, Infinity, -Infinity]`:                                    true,
		`[nan]`:                                                         false,
		`[INF]`:                                                         false,
		`[+1]`:                                                          false,
		`[01]`:                                                          false,
		`[1,]`:                                                          false,
		`[1 2]`:                                                         false,
		`{"a" 1}`:                                                       false,
		`{a: 1}`:                                                        false,
		`"\x"`:                                                          false,
		"\"\n\"":                                                        false,
		`"`:                                                             false,
		`"\`:                                                            false,
		`{} {}`:                                                         false,
		``:                                                              false,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth):     true,
		strings.Repeat("[", maxDepth+9) + strings.Repeat("]", maxDepth+9): false,
	} {
		_, err := parse([]byte(text))
		require.Equal(t, ok, err == nil, "%.40s: %v", text, err)
	}
}

package share_test

import (
	"testing"

	"github.com/serindev/serin/share"
	"github.com/stretchr/testify/require"
)

func TestParseTakesPercentAndFraction(t *testing.T) {
	for text, want := range map[string]share.Share{"25%": 0.25, "0.25": 0.25, "0.1%": 0.001, " 5 % ": 0.05, "100%": 1, "0": 0, "150%": 1.5} {
		got, err := share.Parse(text)
		require.NoError(t, err, text)
		require.InDelta(t, float64(want), float64(got), 1e-15, text)
	}
}

func TestParseRefusesWhatIsNoShare(t *testing.T) {
	for _, text := range []string{"", "%", "-5%", "NaN", "Inf", "1e999", "five", "0x1p-2", "1_0%", "5%%"} {
		_, err := share.Parse(text)
		require.Error(t, err, text)
	}
}

func TestStringPrintsPercentWithoutNoise(t *testing.T) {
	for s, want := range map[share.Share]string{0.25: "25%", 0.001: "0.1%", 0.07: "7%", 1: "100%", 0: "0%", 0.29: "29%"} {
		require.Equal(t, want, s.String())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"25%", "0.25", "", "-1", "1e-300%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := share.Parse(text)
		if err != nil {
			require.Zero(t, s)
			return
		}
		again, err := share.Parse(s.String())
		require.NoError(t, err)
		require.InDelta(t, float64(s), float64(again), 1e-8+1e-9*float64(s))
	})
}

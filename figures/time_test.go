package figures_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/figures"
)

func TestTimeAheadIsRoundedUpSoThatItIsNotOverBefore(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second / 2: "1 s", 59 * time.Second: "59 s", time.Minute: "1 min", 61 * time.Second: "2 min", time.Hour: "1 h", 90 * time.Minute: "1 h 30 min", 49 * time.Hour: "3 days",
	} {
		require.Equal(t, want, figures.Ahead(d), d)
	}
}

func TestHowManyTimesIsWrittenWithUpToTwoDecimals(t *testing.T) {
	for want, v := range map[string]float64{"1.25": 1.25, "1.2": 1.2, "3": 3, "0.67": 2.0 / 3, "10": 10, "120": 120.4} {
		require.Equal(t, want, figures.Times(v))
	}
}

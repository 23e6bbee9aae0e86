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

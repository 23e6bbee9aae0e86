package analysis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestADurationHasNoZerosAtItsEnd(t *testing.T) {
	for d, want := range map[time.Duration]string{
		168 * time.Hour: "168h", 10 * time.Minute: "10m", 90 * time.Minute: "1h30m", 30 * time.Second: "30s", time.Hour + time.Second: "1h0m1s", 0: "0s",
	} {
		require.Equal(t, want, span(d))
	}
}

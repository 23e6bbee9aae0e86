package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSlotsFollowTheClock(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.TimeOnly, s)
		require.NoError(t, err)
		return v
	}
	for name, c := range map[string]struct {
		last, now, next string
		missed          int
	}{
		"the first one is the next of the grid":      {"", "12:00:03", "12:00:10", 0},
		"one follows the other":                      {"12:00:10", "12:00:11", "12:00:20", 0},
		"late, but not for the next one":             {"12:00:10", "12:00:20", "12:00:20", 0},
		"late for three of them":                     {"12:00:10", "12:00:41", "12:00:50", 3},
		"a clock that jumped ahead by an hour":       {"12:00:10", "13:00:11", "13:00:20", 360},
		"a clock that was set back an hour":          {"13:00:10", "12:00:11", "12:00:20", 0},
		"a clock that was set back by half a minute": {"12:00:40", "12:00:11", "12:00:20", 0},
		"a clock that was set back by a little":      {"12:00:20", "12:00:19", "12:00:30", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var last time.Time
			if c.last != "" {
				last = at(c.last)
			}
			next, missed := nextSlot(last, at(c.now), 10*time.Second)
			require.Equal(t, c.next, next.Format(time.TimeOnly))
			require.Equal(t, c.missed, missed)
		})
	}
}

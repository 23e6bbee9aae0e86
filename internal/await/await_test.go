package await

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder is a test that may fail. FailNow ends the goroutine that uses it.
type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Name() string                      { return "recorded" }
func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }
func (r *recorder) FailNow()                          { runtime.Goexit() }

// fails returns the failure of a test that waits like this, empty for none, and how long it waited.
func fails(wait func(testing.TB)) (string, time.Duration) {
	r, begun, end := &recorder{}, time.Now(), make(chan struct{})
	go func() {
		defer close(end)
		wait(r)
	}()
	<-end
	return r.text, time.Since(begun)
}

func TestAWaitEndsWithWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		after := func() bool { return time.Since(begun) >= 4*time.Minute }
		True(t, after)
		require.Less(t, time.Since(begun), 4*time.Minute+2*longest)
		begun = time.Now()
		Until(t, "it is over", func() string {
			if after() {
				return ""
			}
			return "not yet"
		})
		require.Less(t, time.Since(begun), 4*time.Minute+2*longest)

		c := make(chan int)
		go func() { time.Sleep(4 * time.Minute); c <- 7; close(c) }()
		require.Equal(t, 7, Receive(t, c))
		require.Zero(t, Receive(t, c), "it is closed")
	})
}

func TestAWaitThatRunsOutSaysWhatWasSeenLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := 0
		look := func() bool { seen++; return false }
		last := func() string { return fmt.Sprintf("looked %d times", seen) }
		said, took := fails(func(tb testing.TB) { True(tb, look, "the shop: %s", last) })
		require.Contains(t, said, "the shop: "+last())
		require.GreaterOrEqual(t, took, Patience)

		said, took = fails(func(tb testing.TB) { UntilAfter(tb, time.Hour, "it is open", last) })
		require.Contains(t, said, "it is open")
		require.Contains(t, said, last())
		require.GreaterOrEqual(t, took, time.Hour)

		said, took = fails(func(tb testing.TB) { Receive(tb, make(chan int), "from %s", "nobody") })
		require.Contains(t, said, "from nobody")
		require.Equal(t, Patience, took)
	})
}

func TestALongWaitLooksLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, lasts := range []time.Duration{5 * time.Millisecond, 300 * time.Millisecond, 10 * time.Second} {
			looks, begun := 0, time.Now()
			True(t, func() bool { looks++; return time.Since(begun) >= lasts })
			require.LessOrEqual(t, time.Since(begun), lasts+max(shortest, min(lasts/10, longest)))
			require.LessOrEqual(t, looks, 60+int(lasts/longest))
		}
	})
}

func TestASlowConditionTakesAThirdOfTheTimeAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy, begun := time.Duration(0), time.Now()
		True(t, func() bool {
			time.Sleep(3 * time.Second)
			busy += 3 * time.Second
			return time.Since(begun) > time.Minute
		})
		require.LessOrEqual(t, busy, time.Since(begun)/3+3*time.Second)
	})
}

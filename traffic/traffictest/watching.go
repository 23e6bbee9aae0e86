package traffictest

import (
	"context"
	"sync"
	"testing"
)

// Watching returns a function that begins watches at all places that it has not seen before, as a daemon does for its
// routers. The watches end with the test.
func Watching[P comparable, C any](t testing.TB, watch func(context.Context, P, func(C)), changed func(C)) (begin func(places []P)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	var mu sync.Mutex
	begun := map[P]bool{}
	return func(places []P) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range places {
			if begun[p] {
				continue
			}
			begun[p] = true
			running.Go(func() { watch(ctx, p, changed) })
		}
	}
}

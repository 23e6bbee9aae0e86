package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic/kubeobjects"
)

// backend is one whose rights a test sets.
type backend struct {
	may bool
	err error
	n   int // how often it was asked
}

func (b *backend) Watch(context.Context, kubeobjects.Place, func(kubeobjects.Change)) {}

func (b *backend) Everywhere(context.Context) (bool, error) {
	b.n++
	return b.may, b.err
}

func TestWatchesFollowTheRightsOfEachBackend(t *testing.T) {
	ctx := t.Context()
	traefik, gateway := &backend{}, &backend{may: true}
	open := map[watchedPlace]int{}
	w := newRouteWatches(func(p watchedPlace) func() {
		open[p]++
		return func() { open[p]-- }
	})
	watched := func() (out []string) {
		for p, n := range open {
			if n == 0 {
				continue
			}
			require.Equal(t, 1, n, "one watch for %v", p)
			by := "traefik"
			if p.by == routeWatcher(gateway) {
				by = "gateway"
			}
			out = append(out, fmt.Sprintf("%s %q", by, p.Namespace))
		}
		slices.Sort(out)
		return out
	}
	for range 2 { // two rollouts in each namespace
		for _, ns := range []string{"pro", "dev"} {
			w.add(ctx, watchedPlace{traefik, kubeobjects.Place{Namespace: ns}})
			w.add(ctx, watchedPlace{gateway, kubeobjects.Place{Namespace: ns}})
		}
	}
	require.Equal(t, []string{`gateway ""`, `traefik "dev"`, `traefik "pro"`}, watched())
	require.Equal(t, []int{1, 1}, []int{traefik.n, gateway.n}, "each is asked once")

	w.rescope(ctx)
	require.Equal(t, []string{`gateway ""`, `traefik "dev"`, `traefik "pro"`}, watched(), "nothing has changed")

	traefik.may = true
	w.rescope(ctx)
	require.Equal(t, []string{`gateway ""`, `traefik ""`}, watched(), "rights were granted")
	w.add(ctx, watchedPlace{traefik, kubeobjects.Place{Namespace: "new"}})
	require.Equal(t, []string{`gateway ""`, `traefik ""`}, watched())

	traefik.err = errors.New("the API server does not answer")
	traefik.may = false
	w.rescope(ctx)
	require.Equal(t, []string{`gateway ""`, `traefik ""`}, watched(), "without an answer all stays as it is")

	traefik.err = nil
	w.rescope(ctx)
	require.Equal(t, []string{`gateway ""`, `traefik "dev"`, `traefik "new"`, `traefik "pro"`}, watched(), "rights were taken away")
}

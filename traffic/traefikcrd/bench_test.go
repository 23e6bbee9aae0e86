package traefikcrd_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikcrd"
)

// BenchmarkRollbackUntilInForce measures the time from the decision to roll back, with half of the traffic and a cohort on the
// canary, until Traefik says that it serves stable alone. Traefik has its default throttle of 2 s and is asked every 10 ms.
func BenchmarkRollbackUntilInForce(b *testing.B) {
	c := testcluster.Shared(b)
	ns := c.Namespace(b)
	c.Arms(b, ns, stable.Service, canary.Service, testbed.NewBackend(b, testbed.Behaviour{Version: "v1"}), testbed.NewBackend(b, testbed.Behaviour{Version: "v2"}))
	traefik := only(b, c, ns, testbed.TraefikConfig{})
	r := router(b, c.Config, traefikcrd.Config{
		Rollout: "shop", Namespace: ns, Stable: stable, Canary: canary, Route: &traffic.Route{Rule: "Host(`" + ns + ".test`)"},
		Verify: traefikcrd.Verify{APIs: []string{traefik.API}},
	})
	bring := func(target traffic.Target) {
		require.NoError(b, r.Apply(b.Context(), target))
		await.True(b, func() bool {
			o, err := r.Observe(b.Context())
			return err == nil && traffic.Confirm(target, o) == traffic.InForce
		}, "in force")
	}
	for b.Loop() {
		b.StopTimer()
		bring(withCohort(target(0.5)))
		b.StartTimer()
		bring(target(0))
	}
}

// BenchmarkObserve observes a route with a cohort: the cluster, by watches, and one Traefik.
func BenchmarkObserve(b *testing.B) {
	c := testcluster.Shared(b)
	ns := c.Namespace(b)
	c.Arms(b, ns, stable.Service, canary.Service, testbed.NewBackend(b, testbed.Behaviour{Version: "v1"}), testbed.NewBackend(b, testbed.Behaviour{Version: "v2"}))
	traefik := only(b, c, ns, testbed.TraefikConfig{Throttle: throttle})
	clients := watching(b, c.Config)
	r := clients.router(b, traefikcrd.Config{
		Rollout: "shop", Namespace: ns, Stable: stable, Canary: canary, Route: &traffic.Route{Rule: "Host(`" + ns + ".test`)"},
		Verify: traefikcrd.Verify{APIs: []string{traefik.API}},
	})
	require.NoError(b, r.Apply(b.Context(), withCohort(target(0.5))))
	clients.calm(b, r)
	before := len(clients.requests())
	for b.Loop() {
		_, err := r.Observe(b.Context())
		require.NoError(b, err)
	}
	b.ReportMetric(float64(len(clients.requests())-before)/float64(b.N), "requests/op")
}

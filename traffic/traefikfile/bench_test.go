package traefikfile_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikfile"
)

// BenchmarkInForce measures the time from Apply until Traefik's API says that it serves the target, with Traefik's
// default throttle of 2 s: for a change after a quiet period, and for one directly after another.
func BenchmarkInForce(b *testing.B) {
	traefik := testbed.NewTraefik(b, testbed.TraefikConfig{})
	for _, c := range []struct {
		name  string
		quiet time.Duration
	}{{"after-a-quiet-time", 3 * time.Second}, {"within-the-throttle", 0}} {
		b.Run(c.name, func(b *testing.B) {
			r := benchRouter(b, filepath.Join(traefik.Directory, "shop.yaml"), traefik.API)
			x := benchTarget()
			inForce(b, r, x)
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				if c.quiet > 0 {
					<-time.After(c.quiet)
				}
				x.Weight = share.Share(n%99+1) / 100
				b.StartTimer()
				inForce(b, r, x)
			}
		})
	}
}

func inForce(b *testing.B, r *traefikfile.Router, x traffic.Target) {
	require.NoError(b, r.Apply(b.Context(), x))
	for {
		o, err := r.Observe(b.Context())
		require.NoError(b, err)
		if traffic.Confirm(x, o) == traffic.InForce {
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

func benchRouter(b *testing.B, file string, apis ...string) *traefikfile.Router {
	c := traefikfile.Config{Rollout: "shop", File: file, Route: traffic.Route{Rule: "PathPrefix(`/`)"}}
	for _, api := range apis {
		c.Replicas = append(c.Replicas, traefikfile.Replica{URL: api})
	}
	r, err := traefikfile.New(c)
	require.NoError(b, err)
	return r
}

func benchTarget() traffic.Target {
	return traffic.Target{Stable: traffic.Backend{Servers: []string{"http://127.0.0.1:1"}}, Canary: traffic.Backend{Servers: []string{"http://127.0.0.1:2"}}, Weight: 0.1}
}

// BenchmarkApply writes a change, or finds that it is already written.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		name  string
		steps int
	}{{"written", 99}, {"there-already", 1}} {
		b.Run(c.name, func(b *testing.B) {
			r := benchRouter(b, filepath.Join(b.TempDir(), "shop.yaml"))
			b.ReportAllocs()
			x := benchTarget()
			for n := 0; b.Loop(); n++ {
				x.Weight = share.Share(n%c.steps+1) / 100
				require.NoError(b, r.Apply(b.Context(), x))
			}
		})
	}
}

// BenchmarkObserve asks one replica of a real Traefik, with everything that a target can have.
func BenchmarkObserve(b *testing.B) {
	traefik := testbed.NewTraefik(b, testbed.TraefikConfig{Throttle: throttle})
	c := traefikfile.Config{
		Rollout: "shop", File: filepath.Join(traefik.Directory, "shop.yaml"), Route: traffic.Route{Rule: "PathPrefix(`/`)"},
		Replicas: []traefikfile.Replica{{URL: traefik.API}},
	}
	r, err := traefikfile.New(c)
	require.NoError(b, err)
	inForce(b, r, target())
	b.ReportAllocs()
	for b.Loop() {
		_, err := r.Observe(b.Context())
		require.NoError(b, err)
	}
}

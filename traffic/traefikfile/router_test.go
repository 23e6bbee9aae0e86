package traefikfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikfile"
	"github.com/serindev/serin/traffic/traffictest"
)

// throttle is Traefik's provider throttle, shortened because no test measures it.
const throttle = 50 * time.Millisecond

func TestTheFileProviderPassesTheSuite(t *testing.T) {
	t.Parallel()
	traefik := testbed.NewTraefik(t, testbed.TraefikConfig{Throttle: throttle})
	traffictest.Run(t, func(t *testing.T, w traffictest.Wanted) traffictest.Gateway {
		file := filepath.Join(traefik.Directory, w.Rollout+".yaml")
		c := traefikfile.Config{Rollout: w.Rollout, File: file, Route: traffic.Route{Rule: w.Rule}}
		if !w.OnlyDead {
			c.Replicas = append(c.Replicas, traefikfile.Replica{URL: traefik.API})
		}
		if w.DeadReplica {
			c.Replicas = append(c.Replicas, traefikfile.Replica{URL: testbed.DeadURL(t)})
		}
		r, err := traefikfile.New(c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(file)) })
		return traffictest.Gateway{
			Router: r, URL: traefik.URL("web"),
			Stable: traffic.Backend{Servers: []string{w.Stable.URL}}, Canary: traffic.Backend{Servers: []string{w.Canary.URL}},
			Meddle: func(t *testing.T) {
				edit(t, file, func(text string) string {
					return strings.NewReplacer("weight: 10\n", "weight: 50\n", "weight: 90\n", "weight: 50\n").Replace(text)
				})
			},
		}
	})
}

// edit changes the file as an editor would, in place.
func edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	old, err := os.ReadFile(file)
	require.NoError(t, err)
	text := change(string(old))
	require.NotEqual(t, string(old), text, "the edit changes nothing")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

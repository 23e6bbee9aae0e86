package traefikcrd

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/serindev/serin/traffic"
)

var adopting = Config{
	Rollout: "shop", Namespace: "pro", IngressRoute: "users",
	Stable: traffic.Backend{Service: "shop", Port: "80"}, Canary: traffic.Backend{Service: "shop-canary", Port: "80"},
}

func TestReferencesToStableAreFoundInAnAdoptedRoute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		services string // of a route each, separated by ;
		want     string // the error; empty: it is accepted
	}{
		"stable's Service":              {`{"name":"shop","port":80}`, ""},
		"with its kind and namespace":   {`{"kind":"Service","namespace":"pro","name":"shop","port":80}`, ""},
		"the rollout's TraefikService":  {`{"kind":"TraefikService","name":"shop"}`, ""},
		"among others":                  {`{"name":"other","port":80},{"name":"shop","port":80,"weight":3}`, ""},
		"another Service":               {`{"name":"other","port":80}`, "none of its routes leads to Service shop:80"},
		"another port":                  {`{"name":"shop","port":81}`, "none of its routes"},
		"another namespace":             {`{"name":"shop","namespace":"dev","port":80}`, "none of its routes"},
		"another TraefikService":        {`{"kind":"TraefikService","name":"mirror"}`, "none of its routes"},
		"two routes":                    {`{"name":"shop","port":80};{"name":"shop","port":80}`, ""},
		"twice in one route":            {`{"name":"shop","port":80},{"name":"shop","port":80}`, "its route 0 leads to Service shop:80 or TraefikService shop twice"},
		"a second route to another one": {`{"name":"other","port":80};{"name":"shop","port":80}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var routes []string
			for s := range strings.SplitSeq(c.services, ";") {
				routes = append(routes, fmt.Sprintf("{\"match\":\"Host(`a%d`)\",\"services\":[%s]}", len(routes), s))
			}
			a, err := adopting.parseAdopted("users", []byte(`{"spec":{"routes":[`+strings.Join(routes, ",")+`]}}`))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "shop", a.places[0].reference["name"])
		})
	}
}

func TestAPreviewCannotHaveTheHostOfAnyRoute(t *testing.T) {
	t.Parallel()
	rules := func(rules ...string) (f frame) {
		for _, rule := range rules {
			f.spec.Routes = append(f.spec.Routes, v1alpha1.Route{Match: rule})
		}
		return f
	}
	frames := []frame{rules("Host(`a.example.com`)", "Host(`b.example.com`)"), rules("Host(`c.example.com`)")}
	for host, fine := range map[string]bool{"preview.example.com": true, "a.example.com": false, "b.example.com": false, "c.example.com": false} {
		target := traffic.Target{Stable: adopting.Stable, Canary: adopting.Canary, Preview: &traffic.Preview{Host: host}}
		l, err := adopting.layoutOf(target)
		require.NoError(t, err)
		if err = l.place(frames, target); fine {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, host+" is the users' own host")
		}
	}
}

// No IngressRoute makes the code panic, and a patch of an adopted one changes only the reference and the guards.
func FuzzAdopted(f *testing.F) {
	f.Add([]byte(`{"spec":{"routes":[{"match":"Host(` + "`a`" + `)","services":[{"name":"shop","port":80}],"middlewares":[{"name":"a"},{"name":"shop-rate-limit"}]}]}}`))
	f.Add([]byte(`{"spec":{"routes":[{"match":"x","services":[{"kind":"TraefikService","name":"shop"}]}]}}`))
	f.Add([]byte(`{"spec":{"routes":[{"services":null},{"services":[{}]}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := adopting.parseAdopted("users", data)
		if err != nil {
			require.Nil(t, a)
			return
		}
		frames, err := adopting.adoptedFrames([]*adopted{a}, make([]*stored, 1))
		if err != nil {
			require.Greater(t, len(a.places), 1, "a reference is like itself")
			return
		}
		frame := frames[0]
		for _, route := range frame.spec.Routes {
			for _, m := range route.Middlewares {
				require.False(t, adopting.isGuard(m.Name, m.Namespace))
			}
		}
		require.Empty(t, frame.children[0].Name)
		require.Equal(t, intstr.IntOrString{}, frame.children[0].Port)
		l := layout{guards: traffic.Guards{RateLimit: &traffic.RateLimit{Average: 1}}}
		for _, op := range a.places[0].guardOperations("/m", &adopting, l.guardRefs(&adopting)) {
			if op.Op == "test" {
				continue
			}
			list, ok := op.Value.([]any)
			require.True(t, ok)
			require.Equal(t, map[string]any{"name": "shop-rate-limit"}, list[len(list)-1])
		}
	})
}

// Guards that are written as Middlewares are read back unchanged.
func FuzzGuards(f *testing.F) {
	f.Add(int64(100), int64(1e9), int64(5), "X-User", "NetworkErrorRatio() > 0.5", int64(1e8), 503)
	f.Fuzz(func(t *testing.T, average, period, burst int64, by, expression string, fallback int64, code int) {
		var g traffic.Guards
		g.RateLimit = &traffic.RateLimit{Average: average, Period: abs(period), Burst: burst, By: by}
		g.CircuitBreaker = &traffic.CircuitBreaker{Expression: expression, Fallback: abs(fallback), ResponseCode: code}
		limit, breaker := limitSpec(*g.RateLimit), breakerSpec(*g.CircuitBreaker)
		back, err := guardsOf(&limit, &breaker)
		require.NoError(t, err)
		require.Equal(t, g, back)
	})
}

// A duration of the user's is either read as by Traefik or refused.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"10s", "10", "-1", "9223372036854775807", "1h1m", "", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := intstr.FromString(s)
		breaker := v1alpha1.MiddlewareSpec{CircuitBreaker: &v1alpha1.CircuitBreaker{FallbackDuration: &text}}
		g, err := guardsOf(nil, &breaker)
		if err != nil {
			require.Zero(t, g)
		}
	})
}

func TestRulesForTheSameRequestsAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b string
		same bool
	}{
		"the same":                {"Host(`a`)", "Host(`a`)", true},
		"written differently":     {"Host(`A`)", "(Host(`a`))", true},
		"a host in common":        {"Host(`a`) || Host(`b`)", "Host(`b`)", true},
		"another host":            {"Host(`a`)", "Host(`b`)", false},
		"another path":            {"Host(`a`)", "Host(`a`) && PathPrefix(`/api`)", false},
		"the same path":           {"PathPrefix(`/api`) && Host(`a`)", "Host(`a`) && PathPrefix(`/api`)", true},
		"no host":                 {"PathPrefix(`/`)", "PathPrefix(`/`)", true},
		"a path on every host":    {"PathPrefix(`/`)", "Host(`a`) && PathPrefix(`/`)", false},
		"one that cannot be read": {"Host(", "Host(`a`)", false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.same, sameRequests(c.a, c.b))
			require.Equal(t, c.same, sameRequests(c.b, c.a))
		})
	}
}

func abs(ns int64) time.Duration { return time.Duration(ns & math.MaxInt64) }

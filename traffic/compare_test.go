package traffic_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

func TestWeights(t *testing.T) {
	for s, want := range map[share.Share][2]int{
		0: {0, 100}, 0.05: {5, 95}, 0.005: {5, 995}, 0.1234: {1234, 8766}, 1: {100, 0}, 0.29: {29, 71}, 0.0001: {1, 9999}, 0.999: {999, 1},
	} {
		canary, stable, err := traffic.Weights(s)
		require.NoError(t, err)
		require.Equal(t, want, [2]int{canary, stable}, s)
	}
	for _, s := range []share.Share{-0.01, 1.01, 0.00005, 0.12345, 1e-8, share.Share(math.NaN()), share.Share(math.Inf(1))} {
		canary, stable, err := traffic.Weights(s)
		require.Error(t, err, s)
		require.Zero(t, canary+stable)
	}
}

func TestWeightsRepresentTheShareExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 10000).Draw(t, "ten-thousandths")
		canary, stable, err := traffic.Weights(share.Share(n) / 10000)
		require.NoError(t, err)
		require.Equal(t, n*(canary+stable), canary*10000)
		require.Contains(t, []int{100, 1000, 10000}, canary+stable)
	})
}

var drawShare = rapid.Map(rapid.IntRange(0, 10000), func(n int) share.Share { return share.Share(n) / 10000 })

func drawTarget(t *rapid.T) traffic.Target {
	servers := rapid.SliceOfNDistinct(rapid.StringMatching(`http://[a-c]{1,3}`), 1, 3, rapid.ID)
	x := traffic.Target{
		Stable: traffic.Backend{Servers: servers.Draw(t, "stable")}, Canary: traffic.Backend{Servers: servers.Draw(t, "canary")},
		Weight: drawShare.Draw(t, "weight"),
	}
	if rapid.Bool().Draw(t, "has cohort") {
		x.Cohort = &traffic.Cohort{
			Match: header("A", rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "value")), Split: drawShare.Draw(t, "split"), Sticky: rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "sticky"),
		}
	}
	if x.Cohort == nil && rapid.Bool().Draw(t, "has mirror") {
		x.Weight = 0
		x.Mirror = &traffic.Mirror{
			Share: share.Share(rapid.IntRange(1, 3).Draw(t, "copied")) / 100, AllMethods: rapid.Bool().Draw(t, "all"), MaxBodySize: rapid.Int64Range(0, 2).Draw(t, "body"),
		}
	}
	if rapid.Bool().Draw(t, "has preview") {
		x.Preview = &traffic.Preview{Host: rapid.StringMatching(`[a-z]{1,2}`).Draw(t, "host")}
	}
	if rapid.Bool().Draw(t, "has breaker") {
		x.Guards.CircuitBreaker = &traffic.CircuitBreaker{Expression: rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "expression"), Fallback: time.Duration(rapid.IntRange(0, 2).Draw(t, "s")) * time.Second}
	}
	if rapid.Bool().Draw(t, "has limit") {
		x.Guards.RateLimit = &traffic.RateLimit{Average: rapid.Int64Range(1, 9).Draw(t, "average"), Burst: rapid.Int64Range(0, 2).Draw(t, "burst")}
	}
	return x
}

func observed(t require.TestingT, configured traffic.Target, replicas ...traffic.Target) traffic.Observed {
	serves := func(x traffic.Target) traffic.Served {
		s, err := traffic.Serves(x)
		require.NoError(t, err)
		return s
	}
	o := traffic.Observed{Configured: &traffic.Configured{Served: serves(configured)}}
	for _, r := range replicas {
		o.Replicas = append(o.Replicas, traffic.Replica{Name: "replica", Served: serves(r)})
	}
	return o
}

func TestServesHasNoDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawTarget(t)
		o := observed(t, x, x, x)
		require.Empty(t, traffic.Differences(x, o))
		require.Equal(t, traffic.InForce, traffic.Confirm(x, o))
	})
}

func TestServingAnotherTargetIsADifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := drawTarget(t), drawTarget(t)
		same := len(traffic.Differences(x, observed(t, y))) == 0
		require.Equal(t, same, len(traffic.Differences(y, observed(t, x))) == 0, "differing is symmetric")
		for _, o := range []traffic.Observed{observed(t, y, x), observed(t, x, x, y)} {
			require.Equal(t, same, traffic.Confirm(x, o) == traffic.InForce, "one replica that serves something else is enough")
		}
		if same {
			require.Equal(t, x.Weight, y.Weight)
			require.Equal(t, x.Cohort, y.Cohort)
			require.Equal(t, x.Mirror, y.Mirror)
			require.Equal(t, x.Preview, y.Preview)
			require.ElementsMatch(t, x.Stable.Servers, y.Stable.Servers)
			require.ElementsMatch(t, x.Canary.Servers, y.Canary.Servers)
			require.Equal(t, x.Guards.Names(), y.Guards.Names())
		}
	})
}

func TestConfirm(t *testing.T) {
	x := traffic.Target{Stable: traffic.Backend{Servers: []string{"http://a"}}, Canary: traffic.Backend{Servers: []string{"http://b"}}, Weight: 0.05}
	down := traffic.Replica{Name: "down", Err: "no answer"}
	change := func(f func(*traffic.Observed)) traffic.Observed {
		o := observed(t, x, x)
		f(&o)
		return o
	}
	for name, c := range map[string]struct {
		o    traffic.Observed
		want traffic.Confirmation
		says string
	}{
		"nothing is written":                          {traffic.Observed{}, traffic.NotServed, "configuration: nothing is written"},
		"nothing is written, and a replica serves it": {change(func(o *traffic.Observed) { o.Configured = nil }), traffic.NotServed, "configuration: nothing is written"},
		"what is written cannot be read":              {change(func(o *traffic.Observed) { o.Configured, o.Unreadable = nil, "permission denied" }), traffic.NotServed, "configuration: permission denied"},
		"written next to foreign entries":             {change(func(o *traffic.Observed) { o.Unreadable = "it has more" }), traffic.InForce, ""},
		"written, no replica configured":              {observed(t, x), traffic.Unconfirmed, ""},
		"written, no replica answers":                 {change(func(o *traffic.Observed) { o.Replicas = []traffic.Replica{down, down} }), traffic.Unconfirmed, ""},
		"one of two answers":                          {change(func(o *traffic.Observed) { o.Replicas = append(o.Replicas, down) }), traffic.InForce, ""},
		"an external writer wrote":                    {change(func(o *traffic.Observed) { o.Configured.Foreign = []string{"priority is 7"} }), traffic.NotServed, "configuration: priority is 7"},
		"a replica has it but cannot enable it": {change(func(o *traffic.Observed) {
			o.Replicas[0].Main.Enabled, o.Replicas[0].Main.Problem = false, "no such middleware"
		}), traffic.NotServed, "replica: main route is not enabled: no such middleware"},
		"a replica has no such route":            {change(func(o *traffic.Observed) { o.Replicas[0].Main = nil }), traffic.NotServed, "replica: main route is missing"},
		"a replica still has the cohort's route": {change(func(o *traffic.Observed) { o.Replicas[0].Cohort = &traffic.RouteServed{} }), traffic.NotServed, "replica: cohort route is still there"},
		"a replica does not name its servers":    {change(func(o *traffic.Observed) { o.Replicas[0].Main.Stable, o.Replicas[0].Main.Canary = nil, nil }), traffic.InForce, ""},
		"the weight is a hundredth off":          {change(func(o *traffic.Observed) { o.Replicas[0].Main.Weight = 0.0501 }), traffic.NotServed, "replica: main route: canary's weight is 5.01%, not 5%"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, traffic.Confirm(x, c.o))
			if c.says == "" {
				require.Empty(t, traffic.Differences(x, c.o))
			} else {
				require.Equal(t, []string{c.says}, traffic.Differences(x, c.o))
			}
		})
	}
}

func TestGuardsWithTheGatewaysDefaultsAreTheSame(t *testing.T) {
	x := traffic.Target{Guards: traffic.Guards{CircuitBreaker: &traffic.CircuitBreaker{Expression: "e"}, RateLimit: &traffic.RateLimit{Average: 5}}}
	y := x
	y.Guards = traffic.Guards{
		CircuitBreaker: &traffic.CircuitBreaker{Expression: "e", CheckPeriod: 100 * time.Millisecond, Fallback: 10 * time.Second, Recovery: 10 * time.Second, ResponseCode: 503},
		RateLimit:      &traffic.RateLimit{Average: 5, Period: time.Second, Burst: 1},
	}
	require.Empty(t, traffic.Differences(x, observed(t, y)))
	y.Guards.RateLimit = &traffic.RateLimit{Average: 6}
	require.Len(t, traffic.Differences(x, observed(t, y)), 1)
}

func TestGuardsAreComparedWithTheirLimits(t *testing.T) {
	breaker := func(expression string) *traffic.CircuitBreaker {
		return &traffic.CircuitBreaker{Expression: expression}
	}
	x := traffic.Target{Guards: traffic.Guards{CircuitBreaker: breaker("e"), RateLimit: &traffic.RateLimit{Average: 5}}}
	for name, c := range map[string]struct {
		limits *traffic.Guards
		says   []string
	}{
		"the same":                                {&x.Guards, nil},
		"another breaker":                         {&traffic.Guards{CircuitBreaker: breaker("f"), RateLimit: x.Guards.RateLimit}, []string{"replica: circuitBreaker is {Expression:f CheckPeriod:100ms Fallback:10s Recovery:10s ResponseCode:503}, not {Expression:e CheckPeriod:100ms Fallback:10s Recovery:10s ResponseCode:503}"}},
		"another limit":                           {&traffic.Guards{CircuitBreaker: x.Guards.CircuitBreaker, RateLimit: &traffic.RateLimit{Average: 6}}, []string{"replica: rateLimit is {Average:6 Period:1s Burst:1 By:}, not {Average:5 Period:1s Burst:1 By:}"}},
		"the gateway reports only the breaker":    {&traffic.Guards{CircuitBreaker: x.Guards.CircuitBreaker}, nil},
		"the gateway reports only the rate limit": {&traffic.Guards{RateLimit: x.Guards.RateLimit}, nil},
		"the gateway reports that it has them":    {nil, nil},
		"the gateway reports values of neither":   {&traffic.Guards{}, nil},
		"both differ, and both are reported":      {&traffic.Guards{CircuitBreaker: &traffic.CircuitBreaker{Expression: "e", ResponseCode: 500}, RateLimit: &traffic.RateLimit{Average: 5, By: "X-User"}}, []string{"replica: circuitBreaker is {Expression:e CheckPeriod:100ms Fallback:10s Recovery:10s ResponseCode:500}, not {Expression:e CheckPeriod:100ms Fallback:10s Recovery:10s ResponseCode:503}", "replica: rateLimit is {Average:5 Period:1s Burst:1 By:X-User}, not {Average:5 Period:1s Burst:1 By:}"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(t, x, x)
			o.Replicas[0].Limits = c.limits
			require.Equal(t, c.says, traffic.Differences(x, o))
		})
	}
	require.Equal(t, []string{"circuitBreaker", "rateLimit"}, x.Guards.Names())
	require.Equal(t, []string{"rateLimit"}, traffic.Guards{RateLimit: x.Guards.RateLimit}.Names())
	require.Empty(t, traffic.Guards{}.Names())
	o := observed(t, traffic.Target{}, x)
	require.Equal(t, []string{"replica: guards are [circuitBreaker rateLimit], not []"}, traffic.Differences(traffic.Target{}, o))
}

func TestRoundingIsNotAnotherWeight(t *testing.T) {
	for served, same := range map[share.Share]bool{0: true, 1e-7: true, 1e-6: true, 1e-5: false, 0.0001: false} {
		o := observed(t, traffic.Target{}, traffic.Target{})
		o.Replicas[0].Main.Weight = served
		require.Equal(t, same, len(traffic.Differences(traffic.Target{}, o)) == 0, served)
	}
}

func TestBrokenRoutesAreWrittenButCannotBeServed(t *testing.T) {
	x := traffic.Target{Cohort: &traffic.Cohort{Match: header("A", "b"), Split: 0.5}}
	require.Empty(t, traffic.Broken(traffic.Observed{}), "nothing is written")
	o := observed(t, x)
	require.Empty(t, traffic.Broken(o))
	o.Configured.Main.Enabled, o.Configured.Main.Problem = false, "no endpoints"
	o.Configured.Cohort.Enabled, o.Configured.Cohort.Problem = false, "no such middleware"
	want := []string{"configuration: main route is not enabled: no endpoints", "configuration: cohort route is not enabled: no such middleware"}
	require.Equal(t, want, traffic.Broken(o))
	require.Subset(t, traffic.Drift(x, o), want)
	o.Configured.Main = nil
	require.Equal(t, want[1:], traffic.Broken(o), "a missing route is not broken")
}

func TestTheCohortsRouteIsComparedLikeTheMainOne(t *testing.T) {
	x := traffic.Target{
		Stable: traffic.Backend{Servers: []string{"http://a"}}, Canary: traffic.Backend{Servers: []string{"http://b"}},
		Cohort: &traffic.Cohort{Match: header("A", "b"), Split: 0.5},
	}
	for name, c := range map[string]struct {
		change func(*traffic.RouteServed)
		says   string
	}{
		"another split":        {func(r *traffic.RouteServed) { r.Weight = 0.4 }, "replica: cohort route: canary's weight is 40%, not 50%"},
		"another server":       {func(r *traffic.RouteServed) { r.Canary = []string{"http://c"} }, "replica: cohort route: canary is served by [http://c], not [http://b]"},
		"it is not enabled":    {func(r *traffic.RouteServed) { r.Enabled, r.Problem = false, "no such service" }, "replica: cohort route is not enabled: no such service"},
		"the arms change":      {func(r *traffic.RouteServed) { r.Stable = []string{"http://b"} }, "replica: cohort route: stable is served by [http://b], not [http://a]"},
		"users keep their arm": {func(r *traffic.RouteServed) { r.Sticky = "one" }, `replica: cohort route: sticky is "one", not ""`},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(t, x, x)
			route := *o.Replicas[0].Cohort
			c.change(&route)
			o.Replicas[0].Cohort = &route
			require.Equal(t, []string{c.says}, traffic.Differences(x, o))
			require.Equal(t, traffic.NotServed, traffic.Confirm(x, o))
		})
	}
	o := observed(t, x, x)
	o.Replicas[0].Cohort = nil
	require.Equal(t, []string{"replica: cohort route is missing"}, traffic.Differences(x, o))
}

func TestTheObservedShareAgreesWithinThreeDeviations(t *testing.T) {
	for name, c := range map[string]struct {
		weight         share.Share
		canary, stable float64
		want           bool
	}{
		"as asked": {0.1, 1000, 9000, true},
		"just within: 3 of 0.3% and half a percent": {0.1, 1139, 8861, true},
		"just beyond":                             {0.1, 1141, 8859, false},
		"just within, below":                      {0.1, 861, 9139, true},
		"just beyond, below":                      {0.1, 859, 9141, false},
		"the weight before":                       {0.1, 500, 9500, false},
		"nothing at all":                          {0, 0, 9500, true},
		"too few to tell":                         {0.5, 24, 25, false},
		"enough to tell":                          {0.5, 25, 25, true},
		"half a percent where none was asked for": {0, 1, 199, true},
		"more than that":                          {0, 2, 198, false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, traffic.Agrees(c.weight, c.canary, c.stable)) })
	}
}

func TestFindDistinguishesForeignChanges(t *testing.T) {
	x := traffic.Target{Stable: traffic.Backend{Servers: []string{"http://a"}}, Canary: traffic.Backend{Servers: []string{"http://b"}}, Weight: 0.05}
	change := func(f func(*traffic.Observed)) traffic.Observed {
		o := observed(t, x)
		f(&o)
		return o
	}
	broken := change(func(o *traffic.Observed) {
		o.Configured.Main.Enabled, o.Configured.Main.Problem = false, "no endpoints"
	})
	foreign := change(func(o *traffic.Observed) { o.Configured.Foreign = []string{"priority is 7"} })
	both := change(func(o *traffic.Observed) {
		*o.Configured = *broken.Configured
		o.Configured.Foreign = []string{"priority is 7"}
	})
	for name, c := range map[string]struct {
		o    traffic.Observed
		seen bool
		want traffic.Finding
	}{
		"it is as it was written":                                     {observed(t, x), false, traffic.FoundWritten},
		"what cannot be read has not been changed":                    {traffic.Observed{Unreadable: "permission denied"}, true, traffic.FoundUnreadable},
		"what was never seen was never in force":                      {foreign, false, traffic.FoundNever},
		"what cannot be served and was never seen was never in force": {broken, false, traffic.FoundNever},
		"what can no longer be served was not changed":                {broken, true, traffic.FoundBroken},
		"what was in force and differs was changed":                   {foreign, true, traffic.FoundChanged},
		"what cannot be served and differs was changed too":           {both, true, traffic.FoundChanged},
		"what was in force and is gone was changed":                   {traffic.Observed{}, true, traffic.FoundChanged},
	} {
		t.Run(name, func(t *testing.T) {
			found, how := traffic.Find(x, c.o, c.seen)
			require.Equal(t, c.want, found)
			require.Equal(t, traffic.Drift(x, c.o), how)
		})
	}
}

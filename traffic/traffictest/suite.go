// Package traffictest answers the question whether a backend of traffic does what the engine expects. It is a suite that
// drives a router against a real gateway and real servers, and checks what users get. A new backend starts here.
//
// It knows no particular gateway: everything that it needs beyond the router's contract is in [Gateway].
package traffictest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// Router is the contract under test, which is the engine's.
type Router interface {
	Apply(ctx context.Context, t traffic.Target) error
	Observe(ctx context.Context) (traffic.Observed, error)
}

// Wanted is what a test needs from the gateway.
type Wanted struct {
	// Rollout is the name of the rollout, and Rule the rule of its route.
	Rollout string
	Rule    string
	// Stable and Canary are the servers behind the arms.
	Stable, Canary *testbed.Backend
	// DeadReplica adds a replica that does not answer. OnlyDead makes it the only one.
	DeadReplica, OnlyDead bool
}

// Gateway is a router with a running gateway. All gateways of one run share what they can.
type Gateway struct {
	Router Router
	// URL is where users' requests go.
	URL string
	// Stable and Canary are the arms in this backend's form.
	Stable, Canary traffic.Backend
	// Refuses lists what this kind of gateway cannot express. The suite checks that such targets are refused and change
	// nothing.
	Refuses []Feature
	// Connections means that the gateway divides TLS connections by their server name, and sees no requests. Users open a
	// connection for each request.
	Connections bool
	// Meddle gives the canary half of the main route's traffic without the router, as an external writer would.
	Meddle func(t *testing.T)
}

// Feature is something that not every kind of gateway supports.
type Feature string

// The features.
const (
	StickyUsers Feature = "sticky users"
	Guards      Feature = "guards"
	// Cohorts are users with their own arms.
	Cohorts Feature = "cohorts"
	// Negation covers negated matchers and clients' addresses.
	Negation Feature = "negation"
	// Mirrors copy requests. Previews are routes to the canary alone.
	Mirrors  Feature = "mirrors"
	Previews Feature = "previews"
)

// New makes a router for one test, on a gateway that all tests share.
type New func(t *testing.T, w Wanted) Gateway

// The versions behind the arms.
const (
	stable = "v1"
	canary = "v2"
)

// fixture is one test's rollout.
type fixture struct {
	Gateway
	host           string
	stable, canary *testbed.Backend
}

func setUp(t *testing.T, newGateway New, change func(*Wanted)) *fixture {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", ",", "").Replace(t.Name()))
	if len(name) > 40 {
		name = strings.Trim(name[len(name)-40:], "-")
	}
	f := &fixture{
		host: name + ".test", stable: testbed.NewBackend(t, testbed.Behaviour{Version: stable}),
		canary: testbed.NewBackend(t, testbed.Behaviour{Version: canary}),
	}
	w := Wanted{Rollout: name, Rule: "Host(" + traffic.Quote(f.host) + ")", Stable: f.stable, Canary: f.canary}
	if change != nil {
		change(&w)
	}
	f.Gateway = newGateway(t, w)
	return f
}

// refuses reports whether the gateway does not support the target, and checks that it is refused.
func (f *fixture) refuses(t *testing.T, feature Feature, target traffic.Target) bool {
	t.Helper()
	if !slices.Contains(f.Refuses, feature) {
		return false
	}
	f.bring(t, f.target(0.1))
	before, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Error(t, f.Router.Apply(t.Context(), target))
	after, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	return true
}

func (f *fixture) target(weight share.Share) traffic.Target {
	return traffic.Target{Stable: f.Stable, Canary: f.Canary, Weight: weight}
}

// bring applies a target and waits until it is in force.
func (f *fixture) bring(t *testing.T, target traffic.Target) {
	t.Helper()
	require.NoError(t, f.Router.Apply(t.Context(), target))
	Await(t, f.Router, target, traffic.InForce)
}

// Await observes until the target has the wanted confirmation, and shows the differences if it never has.
func Await(t *testing.T, r Router, target traffic.Target, want traffic.Confirmation) traffic.Observed {
	t.Helper()
	var seen traffic.Observed
	var err error
	await.Until(t, fmt.Sprintf("the confirmation is %q", want), func() string {
		seen, err = r.Observe(t.Context())
		switch got := traffic.Confirm(target, seen); {
		case err != nil:
			return err.Error()
		case got != want:
			return fmt.Sprintf("%q\n%s", got, strings.Join(traffic.Differences(target, seen), "\n"))
		}
		return ""
	})
	return seen
}

// send sends n requests one after another and counts the answers by version. A status other than 200 counts under its text.
func (f *fixture) send(t *testing.T, n int, change func(*testbed.LoadConfig)) map[string]int {
	t.Helper()
	c := testbed.LoadConfig{URL: f.URL, Host: f.host, Requests: n, Workers: 1}
	if change != nil {
		change(&c)
	}
	counts := testbed.NewLoad(t, f.opened(c)).Wait()
	require.Zero(t, counts.Broken, counts.LastError)
	out := map[string]int{}
	for version, byStatus := range counts.Status {
		for status, k := range byStatus {
			if status != http.StatusOK {
				out[http.StatusText(status)] += k
			} else {
				out[version] += k
			}
		}
	}
	return out
}

// opened returns a load whose users open connections as the gateway's do.
func (f *fixture) opened(c testbed.LoadConfig) testbed.LoadConfig {
	if f.Connections {
		c.TLS = &tls.Config{ServerName: c.Host, InsecureSkipVerify: true} //nolint:gosec // the gateway's certificate is no matter of the test
		c.Vary = func(_ int, r *http.Request) { r.Close = true }
	}
	return c
}

func withHeader(name, value string) func(*testbed.LoadConfig) {
	return func(c *testbed.LoadConfig) { c.Header = http.Header{name: {value}} }
}

func withCookies(cookies ...*http.Cookie) func(*testbed.LoadConfig) {
	return func(c *testbed.LoadConfig) { c.Cookies = cookies }
}

// Run runs the suite.
func Run(t *testing.T, newGateway New) {
	t.Run("nothing is configured before the first target", func(t *testing.T) { beforeFirst(t, newGateway) })
	t.Run("weights are served in their proportion", func(t *testing.T) { weights(t, newGateway) })
	t.Run("a cohort by header has its own arms", func(t *testing.T) { cohortByHeader(t, newGateway) })
	t.Run("a cohort by cookie has its own arms", func(t *testing.T) { cohortByCookie(t, newGateway) })
	t.Run("another matcher is another cohort", func(t *testing.T) { otherCohort(t, newGateway) })
	t.Run("sticky users keep their arm", func(t *testing.T) { sticky(t, newGateway) })
	t.Run("sticky users keep their version while weights grow", func(t *testing.T) { stickyWeights(t, newGateway) })
	t.Run("copies go to the canary, and users never see its answers", func(t *testing.T) { mirror(t, newGateway) })
	t.Run("only requests that are safe to repeat are copied", func(t *testing.T) { mirrorMethods(t, newGateway) })
	t.Run("a preview leads to the canary, and users do not get there", func(t *testing.T) { preview(t, newGateway) })
	t.Run("a rate limit answers 429", func(t *testing.T) { rateLimit(t, newGateway) })
	t.Run("a circuit breaker opens", func(t *testing.T) { circuitBreaker(t, newGateway) })
	t.Run("applying twice is the same as once", func(t *testing.T) { idempotent(t, newGateway) })
	t.Run("drift is noticed and corrected", func(t *testing.T) { drift(t, newGateway) })
	t.Run("a wrong target changes nothing", func(t *testing.T) { wrongTarget(t, newGateway) })
	t.Run("a replica that does not answer is listed", func(t *testing.T) { deadReplica(t, newGateway) })
	t.Run("two rollouts do not disturb each other", func(t *testing.T) { twoRollouts(t, newGateway) })
}

func beforeFirst(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	o, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Nil(t, o.Configured)
	require.Empty(t, o.Unreadable)
	require.Len(t, o.Replicas, 1)
	require.Empty(t, o.Replicas[0].Err)
	require.Nil(t, o.Replicas[0].Main)
	require.Equal(t, traffic.NotServed, traffic.Confirm(f.target(0), o))
}

func weights(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	for _, weight := range []share.Share{0, 0.05, 0.25, 0.5, 1, 0} {
		f.bring(t, f.target(weight))
		got := f.send(t, 100, nil)
		require.Equal(t, int(weight*100+0.5), got[canary], "%s: %v", weight, got)
		require.Equal(t, 100, got[stable]+got[canary], "%s: %v", weight, got)
	}
}

func cohortByHeader(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-User-Group", Value: "be`ta\""}}, Split: 0.5}
	if f.refuses(t, Cohorts, target) {
		return
	}
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 20, canary: 20}, f.send(t, 40, withHeader("X-User-Group", "be`ta\"")))
	require.Equal(t, map[string]int{stable: 40}, f.send(t, 40, withHeader("X-User-Group", "beta")))
	require.Equal(t, map[string]int{stable: 40}, f.send(t, 40, nil))

	target.Cohort.Split = 1
	f.bring(t, target)
	require.Equal(t, map[string]int{canary: 40}, f.send(t, 40, withHeader("X-User-Group", "be`ta\"")))
	require.Equal(t, map[string]int{stable: 40}, f.send(t, 40, nil))

	target.Cohort = nil
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 40}, f.send(t, 40, withHeader("X-User-Group", "be`ta\"")), "the cohort is gone")
}

func cohortByCookie(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Cookie: &traffic.Cookie{Name: "beta", Value: "a+b"}}, Split: 1}
	if f.refuses(t, Cohorts, target) {
		return
	}
	f.bring(t, target)
	cookie := func(name, value string) *http.Cookie { return &http.Cookie{Name: name, Value: value} } //nolint:gosec // sent, not set
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, withCookies(cookie("beta", "a+b"))))
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, withCookies(cookie("a", "1"), cookie("beta", "a+b"), cookie("z", "2"))))
	for name, value := range map[string]string{"beta": "aab", "xbeta": "a+b", "other": "beta=a+b", "Beta": "a+b"} {
		require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, withCookies(cookie(name, value))), "%s=%s", name, value)
	}
}

func otherCohort(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	is := func(value string) traffic.Matcher {
		return traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: value}}
	}
	first, second := f.target(0), f.target(0)
	first.Cohort = &traffic.Cohort{Match: is("one"), Split: 1}
	not := is("one")
	second.Cohort = &traffic.Cohort{Match: traffic.Matcher{All: []traffic.Matcher{
		{Not: &not}, {Any: []traffic.Matcher{is("two"), {Query: &traffic.Query{Name: "group", Value: "two"}}}}, {ClientIP: "127.0.0.0/8"},
	}}, Split: 1}
	if f.refuses(t, Cohorts, first) {
		return
	}
	if f.refuses(t, Negation, second) {
		second.Cohort.Match = traffic.Matcher{Any: []traffic.Matcher{is("two"), {Query: &traffic.Query{Name: "group", Value: "two"}}}}
	}
	f.bring(t, first)
	o, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, traffic.NotServed, traffic.Confirm(second, o), "the same weights for other users are not the same")
	f.bring(t, second)
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, withHeader("X-Group", "one")))
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, withHeader("X-Group", "two")))
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, func(c *testbed.LoadConfig) { c.URL += "/?group=two" }))
}

func sticky(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0.5, Sticky: "one"}
	if f.refuses(t, StickyUsers, target) {
		return
	}
	f.bring(t, target)
	arms := map[string]int{}
	var users []http.CookieJar
	send := func(user http.CookieJar) map[string]int {
		return f.send(t, 10, func(c *testbed.LoadConfig) { c.Header, c.Jar = http.Header{"X-Group": {"beta"}}, user })
	}
	for range 10 {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		users = append(users, jar)
		got := send(jar)
		require.Len(t, got, 1, "one user, one arm: %v", got)
		for version := range got {
			arms[version]++
		}
	}
	require.Equal(t, map[string]int{stable: 5, canary: 5}, arms, "users are split as the weights say")

	target.Cohort.Sticky, target.Cohort.Split = "two", 0
	f.bring(t, target)
	for _, user := range users {
		require.Equal(t, map[string]int{stable: 10}, send(user), "the next test draws its users again")
	}
}

func stickyWeights(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0.2)
	target.Sticky = "gray"
	if f.refuses(t, StickyUsers, target) {
		return
	}
	f.bring(t, target)
	send := func(user http.CookieJar) string {
		got := f.send(t, 5, func(c *testbed.LoadConfig) { c.Jar = user })
		require.Len(t, got, 1, "one user, one version: %v", got)
		for version := range got {
			return version
		}
		return ""
	}
	arrive := func(n int) map[http.CookieJar]string {
		users := map[http.CookieJar]string{}
		for range n {
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			users[jar] = send(jar)
		}
		return users
	}
	on := func(users map[http.CookieJar]string) map[string]int {
		out := map[string]int{}
		for _, version := range users {
			out[version]++
		}
		return out
	}
	early := arrive(10)
	require.Equal(t, map[string]int{stable: 8, canary: 2}, on(early))
	target.Weight = 0.5
	f.bring(t, target)
	for user, version := range early {
		require.Equal(t, version, send(user), "who was there keeps the version")
	}
	require.Equal(t, map[string]int{stable: 5, canary: 5}, on(arrive(10)), "new users follow the weight")

	f.bring(t, f.target(0))
	for user := range early {
		require.Equal(t, stable, send(user), "nobody stays on a canary that has gone back")
	}
}

// copied waits until the canary has had n requests, and checks that no more follow.
func (f *fixture) copied(t *testing.T, n int) {
	t.Helper()
	await.True(t, func() bool { total, _ := f.canary.Requests(); return total >= n }, "copies do not arrive")
	total, _ := f.canary.Requests()
	require.Equal(t, n, total)
}

func mirror(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Mirror = &traffic.Mirror{Share: 0.25}
	if f.refuses(t, Mirrors, target) {
		return
	}
	f.canary.Set(func(b *testbed.Behaviour) { b.ErrorRate = 1 })
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 40}, f.send(t, 40, nil), "users get stable's answers, whatever the canary's are")
	f.copied(t, 10)

	target.Mirror.Share = 1
	o, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, traffic.NotServed, traffic.Confirm(target, o), "another share is another target")
	require.Zero(t, o.Replicas[0].Main.Weight, "copies are no users")
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, nil))
	f.copied(t, 20)

	f.bring(t, f.target(0))
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, nil))
	f.copied(t, 20)
	wrong := f.target(0.1)
	wrong.Mirror = &traffic.Mirror{Share: 0.1}
	require.ErrorContains(t, f.Router.Apply(t.Context(), wrong), "mirror", "users and copies at once cannot be told apart")

	f.bring(t, target)
	require.NoError(t, f.canary.Stop())
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, nil), "nobody notices a canary that does not answer")
}

func mirrorMethods(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Mirror = &traffic.Mirror{Share: 1, MaxBodySize: 10}
	if f.refuses(t, Mirrors, target) {
		return
	}
	post := func(body string) func(*testbed.LoadConfig) {
		return func(c *testbed.LoadConfig) {
			c.Vary = func(_ int, r *http.Request) {
				r.Method, r.ContentLength = http.MethodPost, int64(len(body))
				r.Body = io.NopCloser(strings.NewReader(body))
			}
		}
	}
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, post("small")))
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, withHeader("Upgrade", "other")), "another protocol")
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, nil))
	f.copied(t, 10)

	target.Mirror.AllMethods = true
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, post("far larger than the bound")), "it is answered and not copied")
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, post("small")))
	f.copied(t, 20)

	target.Mirror.AllMethods, target.Mirror.Methods = false, []string{"GET"}
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, post("small")))
	require.Equal(t, map[string]int{stable: 5}, f.send(t, 5, nil))
	f.copied(t, 25)
}

func preview(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Preview = &traffic.Preview{Match: &traffic.Matcher{Header: &traffic.Header{Name: "X-Preview", Value: "yes"}}}
	if f.refuses(t, Previews, target) {
		return
	}
	f.bring(t, target)
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, withHeader("X-Preview", "yes")))
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, nil))

	target.Preview = &traffic.Preview{Host: "preview-" + f.host}
	o, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, traffic.NotServed, traffic.Confirm(target, o), "another preview is another target")
	target.Mirror = &traffic.Mirror{Share: 0.5}
	f.bring(t, target)
	at := func(c *testbed.LoadConfig) { c.Host = target.Preview.Host }
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, at))
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, withHeader("X-Preview", "yes")), "the earlier preview is gone")

	target.Mirror, target.Weight = nil, 0.2
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0}
	f.bring(t, target)
	require.Equal(t, map[string]int{canary: 10}, f.send(t, 10, at), "it stays while users come")
	require.Equal(t, map[string]int{stable: 8, canary: 2}, f.send(t, 10, nil))
	require.Equal(t, map[string]int{stable: 10}, f.send(t, 10, withHeader("X-Group", "beta")))

	f.bring(t, f.target(0))
	require.Equal(t, map[string]int{http.StatusText(http.StatusNotFound): 10}, f.send(t, 10, at))
}

func rateLimit(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Guards.RateLimit = &traffic.RateLimit{Average: 1, Period: time.Hour, Burst: 5}
	if f.refuses(t, Guards, target) {
		return
	}
	f.bring(t, target)
	got := f.send(t, 20, nil)
	require.Equal(t, map[string]int{stable: 5, http.StatusText(http.StatusTooManyRequests): 15}, got)

	target.Guards.RateLimit.Burst = 7
	o, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, traffic.NotServed, traffic.Confirm(target, o), "another limit is another target")
	target.Guards = traffic.Guards{}
	f.bring(t, target)
	require.Equal(t, map[string]int{stable: 20}, f.send(t, 20, nil))
}

func circuitBreaker(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0)
	target.Guards.CircuitBreaker = &traffic.CircuitBreaker{Expression: "ResponseCodeRatio(500, 600, 0, 600) > 0.5", Fallback: time.Hour}
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 1}
	if f.refuses(t, Guards, target) {
		return
	}
	f.bring(t, target)
	for _, arm := range []struct {
		backend *testbed.Backend
		change  func(*testbed.LoadConfig)
	}{{f.stable, nil}, {f.canary, withHeader("X-Group", "beta")}} {
		require.NotContains(t, f.send(t, 10, arm.change), http.StatusText(http.StatusServiceUnavailable))
		arm.backend.Set(func(b *testbed.Behaviour) { b.ErrorRate = 1 })
		await.True(t, func() bool {
			return f.send(t, 10, arm.change)[http.StatusText(http.StatusServiceUnavailable)] == 10
		}, "it never opened: both routes are guarded")
	}
}

func idempotent(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	target := f.target(0.1)
	target.Cohort = &traffic.Cohort{Match: traffic.Matcher{Header: &traffic.Header{Name: "X-Group", Value: "beta"}}, Split: 0.5, Sticky: "one"}
	if slices.Contains(f.Refuses, StickyUsers) {
		target.Cohort.Sticky = ""
	}
	if slices.Contains(f.Refuses, Cohorts) {
		target.Cohort = nil
	}
	if !slices.Contains(f.Refuses, Guards) {
		target.Guards.RateLimit = &traffic.RateLimit{Average: 1000, Burst: 1000}
	}
	f.bring(t, target)
	before, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.NoError(t, f.Router.Apply(t.Context(), target))
	after, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NotEmpty(t, after.Configured.Digest)
	target.Weight = 0.2
	f.bring(t, target)
	changed, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, before.Configured.Digest, changed.Configured.Digest)
}

func drift(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	f.bring(t, f.target(0.1))
	f.Meddle(t)
	o := Await(t, f.Router, f.target(0.1), traffic.NotServed)
	require.InDelta(t, 0.5, float64(o.Configured.Main.Weight), 1e-9, "it says what is written")
	// Before the gateway has read the change, it still serves the wanted state, and a repair could not be noticed.
	await.True(t, func() bool {
		o, err := f.Router.Observe(t.Context())
		return err == nil && o.Replicas[0].Main != nil && o.Replicas[0].Main.Weight == 0.5
	}, "it says what is served")
	f.bring(t, f.target(0.1))
	require.Equal(t, map[string]int{stable: 90, canary: 10}, f.send(t, 100, nil))
}

func wrongTarget(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, nil)
	f.bring(t, f.target(0.1))
	before, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	noMatcher := f.target(0.2)
	noMatcher.Cohort = &traffic.Cohort{Split: 0.5}
	badGuard := f.target(0.2)
	badGuard.Guards.CircuitBreaker = &traffic.CircuitBreaker{Expression: "Nonsense() > 1"}
	for _, wrong := range []traffic.Target{f.target(1.5), f.target(-0.5), f.target(0.123456), {Weight: 0.2}, noMatcher, badGuard} {
		require.Error(t, f.Router.Apply(t.Context(), wrong))
		after, err := f.Router.Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
}

func deadReplica(t *testing.T, newGateway New) {
	f := setUp(t, newGateway, func(w *Wanted) { w.DeadReplica = true })
	f.bring(t, f.target(0.1))
	o, err := f.Router.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, o.Replicas, 2)
	var dead []traffic.Replica
	for _, r := range o.Replicas {
		if r.Err != "" {
			dead = append(dead, r)
		}
	}
	require.Len(t, dead, 1)
	require.NotEmpty(t, dead[0].Name)
	require.Nil(t, dead[0].Main)

	f = setUp(t, newGateway, func(w *Wanted) {
		w.DeadReplica, w.OnlyDead, w.Rollout, w.Rule = true, true, "nobody-answers", "Host(`nobody-answers.test`)"
	})
	require.NoError(t, f.Router.Apply(t.Context(), f.target(0.1)))
	Await(t, f.Router, f.target(0.1), traffic.Unconfirmed)
}

func twoRollouts(t *testing.T, newGateway New) {
	one := setUp(t, newGateway, nil)
	two := setUp(t, newGateway, func(w *Wanted) { w.Rollout, w.Rule = "second", "Host(`second.test`)" })
	two.host = "second.test"
	one.stable.Set(func(b *testbed.Behaviour) { b.Version = "other" })
	one.bring(t, one.target(0))
	two.bring(t, two.target(0.5))
	load := testbed.NewLoad(t, one.opened(testbed.LoadConfig{URL: one.URL, Host: one.host, Rate: 200, Workers: 4}))
	for _, weight := range []share.Share{0.2, 0.4, 0} {
		two.bring(t, two.target(weight))
		o, err := one.Router.Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, traffic.InForce, traffic.Confirm(one.target(0), o))
	}
	counts := load.Stop()
	require.Zero(t, counts.Broken, counts.LastError)
	require.Equal(t, map[string]map[int]int{"other": {http.StatusOK: counts.Sent}}, counts.Status)
	require.NotZero(t, counts.Sent)
}

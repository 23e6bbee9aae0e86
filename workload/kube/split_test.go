package kube_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// splitting is a place where work is divided by pods; stable has four.
type splitting struct {
	*place
	split  workload.Split
	router engine.Router
}

func newSplit(t *testing.T, split workload.Split) *splitting {
	p := newPlace(t)
	p.arms.Stable.Service, p.arms.Canary.Service = "", ""
	return &splitting{p, split, p.kube.Splitter(p.arms, split)}
}

// canaryAt is the canary with its pods for a weight.
func (s *splitting) canaryAt(weight share.Share) workload.Deployment {
	d := s.newCanary("2", 0)
	d.Replicas = &workload.Replicas{}
	if weight > 0 {
		d.Replicas = &workload.Replicas{Share: weight, Of: &s.stable, Split: &s.split}
	}
	return d
}

// bring writes a weight and waits until it is served.
func (s *splitting) bring(target traffic.Target) {
	s.t.Helper()
	require.NoError(s.t, s.router.Apply(s.t.Context(), target))
	s.await(target, traffic.InForce)
}

func (s *splitting) await(target traffic.Target, want traffic.Confirmation) (seen traffic.Observed) {
	s.t.Helper()
	var err error
	await.True(s.t, func() bool {
		seen, err = s.router.Observe(s.t.Context())
		return err == nil && traffic.Confirm(target, seen) == want
	}, "%s", weights(target))
	return seen
}

func weights(t traffic.Target) string { return t.Weight.String() }

// pods are how many pods both arms should have.
func (s *splitting) pods() [2]int32 {
	s.t.Helper()
	return [2]int32{*s.get(s.stable).Spec.Replicas, *s.get(s.canary).Spec.Replicas}
}

func TestWeightsBecomePodsOnTheWayThereAndBack(t *testing.T) {
	t.Parallel()
	s := newSplit(t, workload.Split{})
	s.bring(traffic.Target{})
	require.NotContains(t, s.get(s.stable).Annotations, "serin.dev/split")

	s.until(s.canaryAt(0.25), workload.Ready)
	require.Equal(t, [2]int32{4, 1}, s.pods(), "stable gives nothing away before the canary has its pods")
	s.bring(traffic.Target{Out: true})
	require.Equal(t, [2]int32{4, 1}, s.pods(), "pods that are being prepared are left alone")
	s.bring(traffic.Target{Weight: 0.25})
	require.Equal(t, [2]int32{3, 1}, s.pods())

	s.until(s.canaryAt(0.5), workload.Ready)
	require.Equal(t, [2]int32{3, 2}, s.pods(), "a share of what both have together, not of what stable has left")
	s.await(traffic.Target{Weight: 0.25}, traffic.InForce)
	s.bring(traffic.Target{Weight: 0.5})
	require.Equal(t, [2]int32{2, 2}, s.pods())

	s.bring(traffic.Target{Out: true}) // in a promotion
	require.Equal(t, [2]int32{4, 2}, s.pods(), "stable has its own again before the canary loses any")
	s.until(s.canaryAt(0.5), workload.Ready)
	require.Equal(t, [2]int32{4, 2}, s.pods())
	s.bring(traffic.Target{Weight: 0.5})

	again := s.kube.Splitter(s.arms, s.split) // as after a restart
	require.NoError(t, again.Apply(t.Context(), traffic.Target{}))
	require.Equal(t, [2]int32{4, 0}, s.pods())
	s.router = again
	s.await(traffic.Target{}, traffic.InForce)
	require.NotContains(t, s.get(s.stable).Annotations, "serin.dev/split")
	require.NoError(t, again.Apply(t.Context(), traffic.Target{}))
}

func TestMissingPodsAreSeen(t *testing.T) {
	t.Parallel()
	s := newSplit(t, workload.Split{})
	s.until(s.canaryAt(0.5), workload.Ready)
	half := traffic.Target{Weight: 0.5}
	s.bring(half)

	t.Run("another writer's replicas are an external change", func(t *testing.T) {
		s.patch(s.stable, `{"spec": {"replicas": 3}}`)
		o := s.await(half, traffic.NotServed)
		found, how := traffic.Find(half, o, true)
		require.Equal(t, traffic.FoundChanged, found)
		require.Contains(t, strings.Join(how, "\n"), `replicas of flask are 3, not 2, by "somebody"`)
		s.bring(half)
		require.Equal(t, [2]int32{2, 2}, s.pods())
	})
	t.Run("a canary that has lost pods is not served as it should be", func(t *testing.T) {
		s.patch(s.canary, `{"spec": {"replicas": 1}}`)
		var o traffic.Observed
		s.eventually(func() bool {
			o = s.await(half, traffic.NotServed)
			return strings.Contains(strings.Join(traffic.Differences(half, o), ""), "1 of 2")
		})
		require.Empty(t, traffic.Drift(half, o), "missing pods are not an external change")
		require.Contains(t, strings.Join(traffic.Differences(half, o), "\n"), "1 of 2 pods of the canary are ready")
		s.until(s.canaryAt(0.5), workload.Ready)
		s.await(half, traffic.InForce)
	})
	t.Run("a canary with pods but without a release loses them", func(t *testing.T) {
		s.bring(traffic.Target{})
		s.patch(s.canary, `{"spec": {"replicas": 1}}`)
		found, how := traffic.Find(traffic.Target{}, s.await(traffic.Target{}, traffic.NotServed), true)
		require.Equal(t, traffic.FoundChanged, found)
		require.Contains(t, strings.Join(how, "\n"), `replicas of flask-canary are 1, not 0, by "somebody"`)
		s.bring(traffic.Target{})
		require.Equal(t, [2]int32{4, 0}, s.pods())
	})
	t.Run("without a release stable's pods are left alone", func(t *testing.T) {
		s.patch(s.stable, `{"spec": {"replicas": 6}}`)
		s.await(traffic.Target{}, traffic.InForce)
		require.Equal(t, [2]int32{6, 0}, s.pods())
	})
}

func TestNextToAnAutoscalerTheCanaryFollowsStable(t *testing.T) {
	t.Parallel()
	s := newSplit(t, workload.Split{})
	s.c.Apply(t, s.ns, alongside) // its HorizontalPodAutoscaler has no metrics, and leaves the replicas alone
	s.eventually(func() bool {
		return s.apply(release, s.canaryAt(0.5)).Deployments[0].Phase == workload.Ready && s.pods() == [2]int32{4, 4}
	})
	require.Equal(t, [2]int32{4, 4}, s.pods())
	half := traffic.Target{Weight: 0.5}
	s.bring(half)
	require.Equal(t, [2]int32{4, 4}, s.pods(), "stable's are up to the autoscaler")
	s.patch(s.stable, `{"spec": {"replicas": 6}}`) // as the autoscaler does
	s.eventually(func() bool { s.apply(release, s.canaryAt(0.5)); return s.pods() == [2]int32{6, 6} })
	s.await(half, traffic.InForce)

	s.patch(s.stable, `{"spec": {"replicas": 0}}`) // as KEDA does while there is no work
	s.eventually(func() bool {
		require.NotEqual(t, workload.Failed, s.apply(release, s.canaryAt(0.5)).Deployments[0].Phase)
		return s.pods() == [2]int32{0, 0}
	})
	s.await(half, traffic.NotServed)
	s.patch(s.stable, `{"spec": {"replicas": 5}}`)
	s.eventually(func() bool { s.apply(release, s.canaryAt(0.5)); return s.pods() == [2]int32{5, 5} })
	s.await(half, traffic.InForce)
	s.bring(traffic.Target{})
	require.Equal(t, [2]int32{5, 0}, s.pods())
}

func TestWithoutChangesNoRequestIsSent(t *testing.T) {
	t.Parallel()
	s := newSplit(t, workload.Split{})
	var asked atomic.Int64
	config := rest.CopyConfig(s.c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/deployments/flask") {
				asked.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	s.kube = s.connect(config)
	s.router = s.kube.Splitter(s.arms, s.split)
	s.until(s.canaryAt(0.5), workload.Ready)
	s.bring(traffic.Target{Weight: 0.5})
	s.eventually(func() bool { // once the watch has reported all that was written
		before := asked.Load()
		for range 5 {
			s.await(traffic.Target{Weight: 0.5}, traffic.InForce)
		}
		return asked.Load() == before
	})
	before := asked.Load()
	s.await(traffic.Target{Weight: 0.5}, traffic.InForce)
	require.Equal(t, before, asked.Load())
	s.patch(s.stable, `{"spec": {"replicas": 3}}`)
	s.await(traffic.Target{Weight: 0.5}, traffic.NotServed)
	require.Greater(t, asked.Load(), before)
}

func TestADivisionThatPodsCannotExpressIsRefused(t *testing.T) {
	t.Parallel()
	s := newSplit(t, workload.Split{Tolerance: 0.05})
	got := s.until(s.canaryAt(0.1), workload.Failed)
	require.Contains(t, got.Why, "a part of the pods of flask: 4 pods cannot take 10%: 1 of 4 is 25%, and the tolerance is 5%")
	require.ErrorContains(t, s.router.Apply(t.Context(), traffic.Target{Weight: 0.1}), "4 pods cannot take 10%")
	require.ErrorContains(t, s.router.Apply(t.Context(), traffic.Target{Cohort: &traffic.Cohort{}}), "no cohort")
	without := s.arms
	without.Stable.Deployment.Name = "nobody"
	nobody := s.kube.Splitter(without, s.split)
	require.ErrorContains(t, nobody.Apply(t.Context(), traffic.Target{}), "there is no Deployment "+s.ns+"/nobody")
	o, err := nobody.Observe(t.Context())
	require.NoError(t, err)
	require.Contains(t, o.Unreadable, "there is no Deployment")
}

package traefikcrd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikcrd"
	"github.com/serindev/serin/traffic/traffictest"
)

// children returns the children of the main TraefikService.
func (w *world) children(t *testing.T) []any {
	t.Helper()
	return w.childrenOf(t, "shop")
}

func (w *world) childrenOf(t *testing.T, name string) []any {
	t.Helper()
	return w.raw(t, "traefikservices", name)["spec"].(map[string]any)["weighted"].(map[string]any)["services"].([]any)
}

// beginAdopted is begin with a user's main TraefikService.
func beginAdopted(t *testing.T) *world {
	t.Helper()
	w := begin(t, nil)
	w.Cluster.Apply(t, w.ns, `{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: shop}, spec: {weighted: {services: [{name: shop, port: 80}]}}}`)
	w.config.Adopt = true
	w.Router = router(t, w.Config, w.config)
	return w
}

// crowded is a patch that puts the canary into the main TraefikService twice, and a child of another Service.
const crowded = `{"spec": {"weighted": {"services": [{"name": "shop", "port": 80, "weight": 60},
	{"name": "shop-canary", "port": "http", "weight": 30}, {"name": "third", "port": 80, "weight": 100}, {"name": "shop-canary", "port": 80, "weight": 20}]}}}`

func TestAForeignChildDoesNotStopARollback(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, target(0.5))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", crowded)
	require.NoError(t, w.Router.Apply(t.Context(), target(0)))
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Len(t, w.children(t), 1, "the service is Serin's own, and so are its children")
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v1"))
}

func TestAForeignChildOfAnAdoptedServiceStaysWhenTheCanaryGoes(t *testing.T) {
	t.Parallel()
	w := beginAdopted(t)
	w.bring(t, target(0.5))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", crowded)
	for range 2 { // the second time there is nothing to write
		err := w.Router.Apply(t.Context(), target(0))
		require.ErrorIs(t, err, traefikcrd.ErrForeign)
		require.ErrorContains(t, err, "it has a child third that is neither stable nor canary")
		weights := map[string]any{}
		for _, child := range w.children(t) {
			c := child.(map[string]any)
			weights[c["name"].(string)] = c["weight"]
		}
		require.Equal(t, map[string]any{"shop": 110., "shop-canary": 0., "third": 100.}, weights, "stable gets what the canary had, so the third keeps its share")
	}
	out := target(0)
	out.Out = true
	require.ErrorIs(t, w.Router.Apply(t.Context(), out), traefikcrd.ErrForeign)
	require.ErrorIs(t, w.Router.Apply(t.Context(), target(0.1)), traefikcrd.ErrForeign)
	for _, child := range w.children(t) {
		if c := child.(map[string]any); c["name"] == "shop-canary" {
			require.Zero(t, c["weight"])
		}
	}
}

// Traefik drops a weighted service that has a child without endpoints, even a user's.
func TestACanaryWithoutEndpointsLeavesAnAdoptedService(t *testing.T) {
	t.Parallel()
	w := beginAdopted(t)
	w.bring(t, target(0.5))
	w.scale(t, canary.Service, 0)
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.5)), "all requests go to stable")
	require.Len(t, w.children(t), 1, "only stable's child")
}

func TestASecondCanaryInAnAdoptedServiceIsRemoved(t *testing.T) {
	t.Parallel()
	w := beginAdopted(t)
	w.bring(t, target(0.5))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", strings.Replace(crowded, `{"name": "third", "port": 80, "weight": 100}, `, "", 1))
	w.bring(t, target(0.1))
	counts := w.send(t, 20, nil)
	require.Equal(t, [2]int{18, 2}, [2]int{counts.Answered("v1"), counts.Answered("v2")})
	w.bring(t, target(0))
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v1"))
}

func TestARouteLedStraightToTheCanaryIsReported(t *testing.T) {
	t.Parallel()
	w := begin(t, several)
	w.bring(t, target(0.5))
	asKubectl(t, w.Cluster, w.ns, "ingressroutes", "more", fmt.Sprintf(
		`{"spec": {"routes": [{"kind": "Rule", "match": "Host(%s)", "services": [{"name": "shop-canary", "port": 80}]}]}}`, "`more."+w.host+"`"))
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0)), "IngressRoute more: it leads straight to the canary's Service shop-canary")
	require.Len(t, w.children(t), 1, "the other routes go back")
	o := traffictest.Await(t, w.Router, target(0), traffic.NotServed)
	require.Contains(t, strings.Join(o.Configured.Foreign, "\n"), "IngressRoute more: it leads straight to the canary's Service shop-canary")
}

func TestARemovedStableChildDoesNotStopARollback(t *testing.T) {
	t.Parallel()
	w := beginAdopted(t)
	w.bring(t, target(0.5))
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", `{"spec": {"weighted": {"services": [{"name": "shop-canary", "port": "http", "weight": 50}]}}}`)
	err := w.Router.Apply(t.Context(), target(0.6))
	require.ErrorIs(t, err, traefikcrd.ErrForeign)
	require.ErrorContains(t, err, "stable's Service shop is not in it")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)))
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
	require.Equal(t, 20, w.send(t, 20, nil).Answered("v1"))
}

// Removing the canary does not depend on objects that cannot be read, such as Services in a namespace without rights,
// and a cohort's route that cannot be removed does not stop it elsewhere.
func TestLostRightsDoNotStopARollback(t *testing.T) {
	t.Parallel()
	w := begin(t, bothPorts)
	account := w.ServiceAccount(t, w.ns, "serin")
	w.Cluster.Apply(t, w.ns, rights)
	w.Router = router(t, account, w.config)
	await.True(t, func() bool { return w.Router.Apply(t.Context(), withCohort(target(0.5))) == nil }, "the rights")
	lost := strings.Replace(rights, "resources: [services]", "resources: [pods]", 1)
	w.Cluster.Apply(t, w.ns, strings.Replace(lost, "create, patch, delete]", "create, patch]", 1))
	services := kubernetes.NewForConfigOrDie(account).CoreV1().Services(w.ns)
	await.True(t, func() bool {
		_, err := services.Get(t.Context(), "shop", metav1.GetOptions{})
		return apierrors.IsForbidden(err)
	}, "the rights to read Services and to delete routes are gone")
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0)), "is forbidden")
	for _, name := range []string{"shop", "shop-port-2"} {
		require.Len(t, w.childrenOf(t, name), 1, name)
	}

	w.Cluster.Apply(t, w.ns, lost)
	await.True(t, func() bool {
		err := w.Router.Apply(t.Context(), target(0))
		require.ErrorContains(t, err, "is forbidden")
		for _, host := range []string{w.host, "more." + w.host} {
			if w.send(t, 10, w.to(inCohort, host, "/")).Answered("v1") < 10 {
				return false
			}
		}
		return true
	}, "no request reaches the canary")
}

// unlabelled is a patch that removes the labels by which Serin recognises its own objects.
const unlabelled = `{"metadata": {"labels": {"app.kubernetes.io/managed-by": "platform", "serin.dev/rollout": null}}}`

func TestRemovedLabelsDoNotStopARollback(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.bring(t, withCohort(target(1)))
	for _, k := range [][2]string{{"traefikservices", "shop"}, {"ingressroutes", "shop-ab"}} {
		asKubectl(t, w.Cluster, w.ns, k[0], k[1], unlabelled)
	}
	require.ErrorIs(t, w.Router.Apply(t.Context(), target(0)), traefikcrd.ErrForeign)
	require.Equal(t, "shop", w.children(t)[0].(map[string]any)["name"])
	require.Len(t, w.children(t), 1)
	await.True(t, func() bool {
		return w.send(t, 20, nil).Answered("v1") == 20 && w.send(t, 20, inCohort).Answered("v1") == 20
	}, "no request reaches the canary")

	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", `{"metadata": {"labels": {"serin.dev/rollout": "other"}}}`)
	asKubectl(t, w.Cluster, w.ns, "traefikservices", "shop", half(w.ns, stable.Service, canary.Service))
	require.ErrorIs(t, w.Router.Apply(t.Context(), target(0)), traefikcrd.ErrForeign)
	require.Len(t, w.children(t), 2, "an object with the label of another rollout is left alone")
}

package gatewayapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/gatewayapi"
	"github.com/serindev/serin/traffic/traffictest"
)

const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: serin-traffic}
rules:
- {apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [services], verbs: [get, create, patch, delete]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: serin-traffic}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: serin-traffic},
 subjects: [{kind: ServiceAccount, name: serin}]}`

// Removing the canary does not depend on objects that cannot be read, such as Services in a namespace without rights.
func TestLostRightsDoNotStopARollback(t *testing.T) {
	t.Parallel()
	w := begin(t, more, adopt("users", "more"))
	account := w.ServiceAccount(t, w.ns, "serin")
	w.Cluster.Apply(t, w.ns, rights)
	client := kubernetes.NewForConfigOrDie(account)
	r, err := gatewayapi.New(w.config, client, dynamic.NewForConfigOrDie(account))
	require.NoError(t, err)
	await.True(t, func() bool { return r.Apply(t.Context(), target(0.5)) == nil }, "the rights")
	w.Cluster.Apply(t, w.ns, strings.Replace(rights, "resources: [services]", "resources: [pods]", 1))
	await.True(t, func() bool {
		_, err := client.CoreV1().Services(w.ns).Get(t.Context(), "shop", metav1.GetOptions{})
		return apierrors.IsForbidden(err)
	}, "the right to read Services is gone")
	require.ErrorContains(t, r.Apply(t.Context(), target(0)), "is forbidden")
	require.NotContains(t, fmt.Sprint(w.spec(t, "users"), w.spec(t, "more")), canary.Service)
	for _, host := range []string{w.host, "more." + w.host} {
		await.True(t, func() bool { return w.send(t, host, "/", 20)["v1"] == 20 }, "no request reaches the canary")
	}
	_, err = r.Observe(t.Context())
	require.ErrorContains(t, err, "is forbidden", "it is not known what is in force")
}

func TestRemovedLabelsDoNotStopARollback(t *testing.T) {
	t.Parallel()
	w := begin(t, "", func(c *gatewayapi.Config) {
		c.Own = &traffic.GatewayRoute{Parents: []traffic.GatewayParent{{Name: "edge", Section: "web"}}, Hostnames: []string{c.Namespace + ".test"}}
	})
	w.bring(t, withCohort(target(0.5)))
	for _, name := range []string{"shop", "shop-ab"} {
		asKubectl(t, w.Cluster, "httproutes", w.ns, name, types.JSONPatchType, `[{"op": "remove", "path": "/metadata/labels"}]`)
	}
	require.ErrorIs(t, w.Router.Apply(t.Context(), target(0)), gatewayapi.ErrForeign)
	await.True(t, func() bool { return w.send(t, w.host, "/", 20)["v1"] == 20 }, "no request reaches the canary")
	_, err := routes(w.Cluster, "httproutes", w.ns).Get(t.Context(), "shop-ab", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "the cohort's route goes too")
}

func TestAForeignReferenceToTheCanaryDoesNotStopARollback(t *testing.T) {
	t.Parallel()
	w := begin(t, more, adopt("users", "more"))
	w.bring(t, target(0.25))
	asKubectl(t, w.Cluster, "httproutes", w.ns, "more", types.JSONPatchType, `[{"op": "replace", "path": "/spec/rules/0/backendRefs",
		"value": [{"name": "shop", "port": 80, "weight": 1}, {"name": "shop-canary", "port": 8080, "weight": 3}]}]`)
	w.drift(t, target(0.25), "HTTPRoute more: rule 0 leads to shop-canary as well")
	require.ErrorContains(t, w.Router.Apply(t.Context(), target(0.5)), "rule 0 leads to shop-canary as well")
	require.NoError(t, w.Router.Apply(t.Context(), target(0)))
	require.NotContains(t, fmt.Sprint(w.spec(t, "users"), w.spec(t, "more")), canary.Service)
	traffictest.Await(t, w.Router, target(0), traffic.InForce)
}

package testcluster

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

// Arms makes the Deployments and Services of two versions, whose pods answer as v1 and v2 do.
func (c *Cluster) Arms(t testing.TB, ns, stable, canary string, v1, v2 *testbed.Backend) {
	t.Helper()
	for name, backend := range map[string]*testbed.Backend{stable: v1, canary: v2} {
		image := "registry.test/" + name + ":1"
		c.SetImage(ns, image, Image{Handler: backend})
		c.Apply(t, ns, fmt.Sprintf(`
{apiVersion: apps/v1, kind: Deployment, metadata: {name: %[1]s}, spec: {replicas: 1, selector: {matchLabels: {app: %[1]s}}, template: {
  metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: shop, image: "%[2]s", ports: [{name: web, containerPort: 8080}]}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: %[1]s}, spec: {selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: web}]}}`, name, image))
	}
	c.AwaitEndpoints(t, ns, stable, 1)
	c.AwaitEndpoints(t, ns, canary, 1)
}

// AwaitEndpoints waits until a Service has n ready endpoints.
func (c *Cluster) AwaitEndpoints(t testing.TB, ns, service string, n int) {
	t.Helper()
	await.True(t, func() bool {
		list, err := c.Client.DiscoveryV1().EndpointSlices(ns).List(t.Context(),
			metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
		require.NoError(t, err)
		ready := 0
		for _, slice := range list.Items {
			for _, e := range slice.Endpoints {
				if *e.Conditions.Ready {
					ready++
				}
			}
		}
		return ready == n
	}, "%d endpoints of %s", n, service)
}

package testcluster

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
)

func TestAnotherProcessMakesPodsOfItsOwnInTheClusterOfTheRun(t *testing.T) {
	one := Shared(t)
	require.NoError(t, one.hand())
	other, err := attach(t.Context(), one.dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	require.Nil(t, other.APIServer, "that process must not end it")
	require.Equal(t, one.Config, other.Config)

	for version, c := range map[string]*Cluster{"1": one, "2": other} {
		ns := c.Namespace(t)
		c.SetImage(ns, "app", Image{Handler: testbed.Unserved(testbed.Behaviour{Version: version}, 1), Log: "the log of " + version})
		c.Apply(t, ns, "{apiVersion: v1, kind: Pod, metadata: {name: app}, spec: {containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}}")
		var pod *corev1.Pod
		await.True(t, func() bool {
			pod, err = c.Client.CoreV1().Pods(ns).Get(t.Context(), "app", metav1.GetOptions{})
			return err == nil && pod.Status.PodIP != ""
		})
		require.Equal(t, c.pods.node(), pod.Spec.NodeName)

		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+pod.Status.PodIP+":8080/", nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, version, resp.Header.Get("X-Version"))
		require.Len(t, c.Requests(ns), 1)

		log, err := c.Client.CoreV1().Pods(ns).GetLogs("app", &corev1.PodLogOptions{}).DoRaw(t.Context())
		require.NoError(t, err)
		require.Equal(t, "the log of "+version+"\n", string(log))
	}
}

package testcluster_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

func TestMain(m *testing.M) { testcluster.Alone(m) }

const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "registry.example:5000/shop:1", ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop}
spec:
  routes: [{kind: Rule, match: "Host(` + "`shop.test`" + `)", services: [{name: shop, port: 80}]}]
`

func TestARequestGoesThroughTraefikToThePodsOfADeployment(t *testing.T) {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	traefik := c.Traefik(t, testbed.TraefikConfig{Throttle: 50 * time.Millisecond})
	c.Apply(t, ns, shop)
	load := func(n int) testbed.LoadCounts {
		return testbed.NewLoad(t, testbed.LoadConfig{URL: traefik.URL("web"), Host: "shop.test", Requests: n, Workers: 1}).Wait()
	}
	await.True(t, func() bool {
		return load(4).Answered("1") == 4 && len(c.Requests(ns)) == 2
	}, "two pods answer")
	before := c.RequestsByOwner(ns)["shop"][200]
	require.Equal(t, 20, load(20).Answered("1"))
	require.Equal(t, before+20, c.RequestsByOwner(ns)["shop"][200])

	broken := testbed.Unserved(testbed.Behaviour{Version: "1", ErrorRate: 1}, 1)
	c.SetImage(ns, "registry.example:5000/shop:1", testcluster.Image{Handler: broken})
	require.Equal(t, 10, load(10).Failed("1"))
	require.Equal(t, 10, c.RequestsByOwner(ns)["shop"][500])
}

func TestPodsMeetTheFateOfTheirImage(t *testing.T) {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	for _, fate := range []testcluster.Fate{testcluster.PullError, testcluster.CrashLoop, testcluster.Hang} {
		c.SetImage(ns, "app:"+string(fate), testcluster.Image{Fate: fate})
		c.Apply(t, ns, "{apiVersion: v1, kind: Pod, metadata: {name: "+string(fate)+"}, spec: {containers: [{name: app, image: 'app:"+string(fate)+"'}]}}")
	}
	c.Apply(t, ns, "{apiVersion: v1, kind: Pod, metadata: {name: nowhere}, spec: {nodeSelector: {disk: fast}, containers: [{name: app, image: 'app:1'}]}}")
	status := func(name string) corev1.PodStatus {
		pod, err := c.Client.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		return pod.Status
	}
	waits := func(name, reason string) func() bool {
		return func() bool {
			s := status(name).ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == reason
		}
	}
	await.True(t, waits("pull-error", "ImagePullBackOff"), "a pull error")
	await.True(t, waits("crash-loop", "CrashLoopBackOff"), "a crash loop")
	await.True(t, func() bool {
		s := status("hang")
		return s.Phase == corev1.PodRunning && !s.ContainerStatuses[0].Ready
	}, "a hanging pod")
	await.True(t, func() bool {
		s := status("nowhere").Conditions
		return len(s) == 1 && s[0].Reason == corev1.PodReasonUnschedulable
	}, "an unschedulable pod")
}

func TestAJobSucceedsOrFailsAndLeavesALog(t *testing.T) {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	c.SetImage(ns, "migrate:2", testcluster.Image{Fate: testcluster.Fail, Log: "one\ntwo\nthree\n"})
	for _, version := range []string{"1", "2"} {
		c.Apply(t, ns, "{apiVersion: batch/v1, kind: Job, metadata: {name: migrate-"+version+"}, spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: 'migrate:"+version+"'}]}}}}")
	}
	for version, want := range map[string]batchv1.JobConditionType{"1": batchv1.JobComplete, "2": batchv1.JobFailed} {
		await.True(t, func() bool {
			job, err := c.Client.BatchV1().Jobs(ns).Get(t.Context(), "migrate-"+version, metav1.GetOptions{})
			require.NoError(t, err)
			for _, condition := range job.Status.Conditions {
				if condition.Type == want && condition.Status == corev1.ConditionTrue {
					return true
				}
			}
			return false
		}, "the end of job "+version)
	}
	pods, err := c.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=migrate-2"})
	require.NoError(t, err)
	require.Len(t, pods.Items, 1)
	two := int64(2)
	log, err := c.Client.CoreV1().Pods(ns).GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{TailLines: &two}).Stream(t.Context())
	require.NoError(t, err)
	text, err := io.ReadAll(log)
	require.NoError(t, err)
	require.Equal(t, "two\nthree\n", string(text))
}

func TestUsersHaveOnlyTheRightsBoundToThem(t *testing.T) {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	account, err := kubernetes.NewForConfig(c.ServiceAccount(t, ns, "reader"))
	require.NoError(t, err)
	user, err := kubernetes.NewForConfig(c.User(t, "alice"))
	require.NoError(t, err)
	list := func(client kubernetes.Interface) error {
		_, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		return err
	}
	require.True(t, apierrors.IsForbidden(list(account)))
	require.True(t, apierrors.IsForbidden(list(user)))
	c.Apply(t, ns, `
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader}, rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader},
 subjects: [{kind: ServiceAccount, name: reader}, {kind: User, name: alice}]}`)
	await.True(t, func() bool { return list(account) == nil && list(user) == nil }, "the rights")
}

func TestTheClusterContinuesAfterTheAPIServerWasKilled(t *testing.T) {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	c.Apply(t, ns, shop)
	c.RestartAPIServer(t)
	await.True(t, func() bool {
		d, err := c.Client.AppsV1().Deployments(ns).Get(t.Context(), "shop", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 2
	}, "available replicas")
}

func TestClientsOfTheRelayWaitForTheAPIServer(t *testing.T) {
	c := testcluster.Shared(t)
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	require.NoError(t, err)
	require.NotEqual(t, c.Config.Host, config.Host)
	relayed := kubernetes.NewForConfigOrDie(config)
	require.NoError(t, c.APIServer.Kill())
	_, err = c.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.ErrorContains(t, err, "connection refused")
	answered := make(chan error, 1)
	go func() {
		_, err := relayed.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		for err != nil && !strings.Contains(err.Error(), "refused") && t.Context().Err() == nil { // a client gives up on a handshake after a while
			_, err = relayed.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		}
		answered <- err
	}()
	require.NoError(t, c.APIServer.Restart(t.Context()))
	require.NoError(t, <-answered)
}

func TestEndingAnotherAPIServerLeavesTheFirstRunning(t *testing.T) {
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	server, url := c.AnotherAPIServer(t)
	config := c.ServiceAccount(t, ns, "reader")
	config.Host = url
	other := kubernetes.NewForConfigOrDie(config)
	get := func() error {
		_, err := other.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
		return err
	}
	require.True(t, apierrors.IsForbidden(get()), "it knows the same users, with the same rights")
	require.NoError(t, server.Kill())
	require.ErrorContains(t, get(), "connection refused")
	c.Apply(t, ns, shop)
	require.NoError(t, server.Restart(t.Context()))
	require.True(t, apierrors.IsForbidden(get()))
}

func TestAnAddressWithoutAPodDoesNotAnswer(t *testing.T) {
	c := testcluster.Shared(t)
	c.Apply(t, c.Namespace(t), shop)
	var err error
	await.True(t, func() bool {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.77.254.254:8080/", nil)
		resp, e := http.DefaultClient.Do(req)
		if e == nil {
			resp.Body.Close() //nolint:errcheck // nobody reads it
		}
		err = e
		return err != nil && !strings.Contains(err.Error(), "refused")
	}, "the port")
	require.ErrorIs(t, err, io.EOF)
}

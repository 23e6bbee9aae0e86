package kube_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed/testcluster"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/server/kube"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// delegator may ask the API server about others, and nothing else.
const delegator = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NS-serin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:auth-delegator"}
subjects: [{kind: ServiceAccount, name: serin, namespace: NS}]
`

const team = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: team}
rules:
  - {apiGroups: [serin.dev], resources: [rollouts], verbs: [get, start]}
  - {apiGroups: [serin.dev], resources: [rollouts], resourceNames: [shop], verbs: [approve]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: team}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: team}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
`

func TestRightsAreThoseOfTheCluster(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns, other := c.Namespace(t), c.Namespace(t)
	c.Apply(t, ns, strings.ReplaceAll(delegator+"---"+team, "NS", ns))
	t.Cleanup(func() {
		_ = c.Client.RbacV1().ClusterRoleBindings().Delete(t.Context(), ns+"-serin", metav1.DeleteOptions{})
	})
	k, err := kube.New(kube.Config{REST: c.ServiceAccount(t, ns, "serin"), Remember: time.Millisecond})
	require.NoError(t, err)
	token := c.ServiceAccount(t, ns, "deployer").BearerToken

	_, err = k.Verify(t.Context(), token+"x")
	require.ErrorIs(t, err, server.ErrUnknownToken)
	who, err := k.Verify(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "system:serviceaccount:"+ns+":deployer", who.Name)
	require.Contains(t, who.Roles, "system:serviceaccounts:"+ns)
	for _, one := range []struct {
		verb    server.Verb
		rollout string
		allowed bool
	}{
		{server.VerbGet, ns + ".shop", true},
		{server.VerbStart, ns + ".web", true},
		{server.VerbApprove, ns + ".shop", true},
		{server.VerbApprove, ns + ".web", false}, // another's by its name
		{server.VerbRollback, ns + ".shop", false},
		{server.VerbGet, other + ".shop", false}, // another team's
		{server.VerbGet, "shop", false},          // in a file: nobody's namespace
		{server.VerbGet, "", false},
	} {
		ok, err := who.May(t.Context(), one.verb, one.rollout)
		require.NoError(t, err)
		require.Equal(t, one.allowed, ok, "%s %s", one.verb, one.rollout)
	}
	admin, err := k.Verify(t.Context(), c.Config.BearerToken)
	require.NoError(t, err)
	for _, rollout := range []string{"", "shop", other + ".shop"} {
		ok, err := admin.May(t.Context(), server.VerbPromote, rollout)
		require.NoError(t, err)
		require.True(t, ok, rollout)
	}

	require.NoError(t, c.Client.RbacV1().RoleBindings(ns).Delete(t.Context(), "team", metav1.DeleteOptions{}))
	await.True(t, func() bool {
		ok, err := who.May(t.Context(), server.VerbGet, ns+".shop")
		return err == nil && !ok
	}, "a right that is taken away is gone")
}

// forged are tokens that say what a genuine one says, and are signed by nobody.
func forged(genuine string, n int) []string {
	head, _, _ := strings.Cut(genuine, ".")
	out := make([]string, n)
	for i := range out {
		payload := strings.Split(genuine, ".")[1]
		signature := base64.RawURLEncoding.EncodeToString(fmt.Append(make([]byte, 200), i))
		out[i] = head + "." + payload + "." + signature
	}
	return out
}

func TestAGenuineTokenGetsInWhateverStrangersSendInItsName(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	c.Apply(t, ns, strings.ReplaceAll(delegator, "NS", ns))
	t.Cleanup(func() {
		_ = c.Client.RbacV1().ClusterRoleBindings().Delete(t.Context(), ns+"-serin", metav1.DeleteOptions{})
	})
	k, err := kube.New(kube.Config{REST: c.ServiceAccount(t, ns, "serin"), Remember: time.Millisecond})
	require.NoError(t, err)
	tokens, err := server.FirstToken(filepath.Join(t.TempDir(), "token"))
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	api := server.New(server.Options{Tokens: tokens, Cluster: k, Log: log, Registry: prometheus.NewRegistry()}).Handler()
	ask := func(token string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/me", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code
	}
	alice := c.User(t, "alice").BearerToken // no JSON Web Token
	require.Equal(t, http.StatusOK, ask(alice))
	genuine := c.ServiceAccount(t, ns, "deployer").BearerToken
	answers := map[int]int{}
	for _, token := range forged(genuine, 150) {
		answers[ask(token)]++
	}
	for i := range 150 {
		answers[ask(fmt.Sprint("nonsense", i))]++
	}
	require.Len(t, answers, 2, "%v", answers)
	require.NotZero(t, answers[http.StatusTooManyRequests])
	require.Equal(t, http.StatusOK, ask(genuine), "its first time here")
	require.Equal(t, http.StatusOK, ask(c.ServiceAccount(t, ns, "deployer").BearerToken), "and another one of the same account")
	require.Equal(t, http.StatusOK, ask(alice), "it was here before")
	var braked atomic.Int32 // all at once: on a busy machine a wrong token may be let through every tenth of a second
	var asking sync.WaitGroup
	for range 60 {
		asking.Go(func() {
			if ask("nonsense") == http.StatusTooManyRequests {
				braked.Add(1)
			}
		})
	}
	asking.Wait()
	require.NotZero(t, braked.Load(), "strangers are still braked")
}

func TestADaemonThatMayNotAskLetsNobodyIn(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	k, err := kube.New(kube.Config{REST: c.ServiceAccount(t, ns, "serin")})
	require.NoError(t, err)
	_, err = k.Verify(t.Context(), c.Config.BearerToken)
	require.ErrorContains(t, err, "tokenreviews")
	require.NotErrorIs(t, err, server.ErrUnknownToken, "it is not the token that is wrong")
}

// Neither for the owner of one of Serin's tokens nor for an author of events.
func TestNoUserOfTheClusterPassesForAnotherOne(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]string{
		"judge": "cluster:judge", "alice": "cluster:alice", "alice@example.com": "alice@example.com", "system:serviceaccount:a:b": "system:serviceaccount:a:b",
	} {
		cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {"authenticated": true, "user": {"username": "`+name+`"}}}`)
		}))
		t.Cleanup(cluster.Close)
		k, err := kube.New(kube.Config{REST: &rest.Config{Host: cluster.URL}})
		require.NoError(t, err)
		for range 2 { // the second one is remembered
			who, err := k.Verify(t.Context(), "token")
			require.NoError(t, err)
			require.Equal(t, known, who.Name)
		}
	}
}

// The API server of the tests answers with audiences; one whose tokens a webhook checks need not.
func TestATokenHasToBeForAnAudienceThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for answered, good := range map[string]bool{`["serin"]`: true, `["other"]`: false, `[]`: false} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {"authenticated": true, `+
				`"user": {"username": "alice"}, "audiences": `+answered+`}}`)
		}))
		t.Cleanup(api.Close)
		k, err := kube.New(kube.Config{REST: &rest.Config{Host: api.URL}, Audiences: []string{"serin"}})
		require.NoError(t, err)
		_, err = k.Verify(t.Context(), "token")
		require.Equal(t, good, err == nil, "%s: %v", answered, err)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfig writes a kubeconfig with a user and the namespace pro.
func kubeconfig(t *testing.T, user *api.AuthInfo) string {
	t.Helper()
	k := api.NewConfig()
	k.Clusters["c"], k.AuthInfos["u"] = &api.Cluster{Server: "https://127.0.0.1:1"}, user
	k.Contexts["x"], k.CurrentContext = &api.Context{Cluster: "c", AuthInfo: "u", Namespace: "pro"}, "x"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*k, path))
	return path
}

// The connection to the pod, and the cluster's check of the token, are tested in e2e/cluster.
func TestThePluginSignsInAsTheKubeconfigSays(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+
		`echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "of-a-program"}}'`+"\n"), 0o700)) //nolint:gosec // a program
	for name, c := range map[string]struct {
		user *api.AuthInfo
		want string // the header that the daemon gets; empty: the error says what to do
	}{
		"a token":                      {&api.AuthInfo{Token: "written"}, "Bearer written"},
		"a program's token":            {&api.AuthInfo{Exec: &api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: program, InteractiveMode: api.NeverExecInteractiveMode}}, "Bearer of-a-program"},
		"nothing that Serin can check": {&api.AuthInfo{Username: "alice", Password: "secret"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var header, path string
			daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				header, path = r.Header.Get("Authorization"), r.URL.Path
				w.WriteHeader(http.StatusTeapot)
			}))
			t.Cleanup(daemon.Close)
			var out, wrong bytes.Buffer
			code := run(t.Context(), []string{"/usr/local/bin/kubectl-serin", "--kubeconfig", kubeconfig(t, c.user), "get", "shop", "--server", daemon.URL}, &out, &wrong)
			require.Equal(t, exitError, code)
			if c.want == "" {
				require.Contains(t, wrong.String(), "SERIN_TOKEN=$(kubectl create token ACCOUNT) kubectl serin")
				return
			}
			require.Equal(t, c.want, header)
			require.Equal(t, "/api/v1/rollouts/pro.shop", path, "a name is one of the context's namespace")
		})
	}
}

func TestAnExplicitTokenWinsOverTheKubeconfigs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("of-a-file\n"), 0o600))
	for name, c := range map[string]struct {
		flag string
		env  map[string]string
		want string
	}{
		"the flag":                  {file, map[string]string{"SERIN_TOKEN": "mine"}, "of-a-file"},
		"the environment":           {"", map[string]string{"SERIN_TOKEN": "mine", "SERIN_TOKEN_FILE": file}, "mine"},
		"the environment's file":    {"", map[string]string{"SERIN_TOKEN_FILE": file}, "of-a-file"},
		"neither: the kubeconfig's": {"", nil, "written"},
	} {
		a := &app{tokenFile: c.flag, getenv: func(n string) string { return c.env[n] }}
		token, err := a.pluginToken(&rest.Config{BearerToken: "written"})
		require.NoError(t, err, name)
		require.Equal(t, c.want, token, name)
	}
}

func TestNoTokenIsSentToAServiceThatOnlyClaimsToBeSerins(t *testing.T) {
	t.Parallel()
	service := func(namespace string, selector map[string]string) corev1.Service {
		return corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "serin"}, Spec: corev1.ServiceSpec{Selector: selector}}
	}
	pods := map[string]string{"app": "serin"}
	for name, c := range map[string]struct {
		home string
		have []corev1.Service
		want string
	}{
		"one in a team's namespace is not used, even if there is no other": {"", []corev1.Service{service("hostile", pods)},
			"in namespace serin: --serin-namespace says where Serin is, --server at which address. Services with that label are in: hostile. Name the one that may have your token with --serin-namespace"},
		"Serin's own is found in the namespace of the chart's documentation": {"", []corev1.Service{service("hostile", pods), service("serin", pods)}, "no pod behind Service serin/serin is ready"},
		"a namespace that the caller names is used":                          {"ops", []corev1.Service{service("ops", pods), service("serin", pods)}, "no pod behind Service ops/serin is ready"},
		"none at all":                           {"", nil, "there is no Service with the label"},
		"one that selects nothing has all pods": {"", []corev1.Service{service("serin", nil)}, "selects no pods"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				list := corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}}
				for _, s := range c.have {
					if !strings.Contains(r.URL.Path, "/namespaces/") || strings.Contains(r.URL.Path, "/namespaces/"+s.Namespace+"/") {
						list.Items = append(list.Items, s)
					}
				}
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/pods") {
					_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}})
					return
				}
				_ = json.NewEncoder(w).Encode(list)
			}))
			t.Cleanup(api.Close)
			k, err := kubernetes.NewForConfig(&rest.Config{Host: api.URL})
			require.NoError(t, err)
			_, _, err = findSerin(t.Context(), k, c.home)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestThePluginHasTheCommandsThatTalkToTheDaemon(t *testing.T) {
	t.Parallel()
	a := &app{plugin: &plugin{}, getenv: func(string) string { return "" }}
	root := a.pluginRoot()
	for _, word := range []string{"get", "list", "start", "approve", "promote", "rollback", "undo", "retry", "explain", "logs", "watch"} {
		c, _, err := root.Find([]string{word})
		require.NoError(t, err, word)
		require.NotEqual(t, root, c, word)
	}
	for _, word := range []string{"daemon", "plan", "judge", "token"} {
		c, _, err := root.Find([]string{word})
		require.NoError(t, err, word)
		require.Equal(t, root, c, "%s is not a command of the plugin", word)
	}
}

func TestANameInACluster(t *testing.T) {
	t.Parallel()
	a := &app{plugin: &plugin{kubeconfig: kubeconfig(t, &api.AuthInfo{Token: "t"})}}
	for given, want := range map[string]string{
		"shop": "pro.shop", "dev/shop": "dev.shop", "dev.shop": "dev.shop", "01KZ0000000000000000000000": "01KZ0000000000000000000000",
	} {
		args := []string{given}
		require.NoError(t, a.nameInCluster(args))
		require.Equal(t, want, args[0])
	}
}

// kubectl calls kubectl_complete-serin with what was typed so far.
func TestNamesAreCompletedForKubectl(t *testing.T) {
	t.Parallel()
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[{"rollout": "pro.shop", "gate": "full-release"}, {"rollout": "dev.feed"}, {"rollout": "pro.a.b"}]`)
	}))
	t.Cleanup(daemon.Close)
	for typed, want := range map[string][]string{
		"get":          {"shop", "dev.feed", "pro.a.b"},
		"rollback":     {"shop", "dev.feed", "pro.a.b"},
		"approve shop": {"full-release"},
	} {
		words := append([]string{"/usr/local/bin/kubectl_complete-serin", "--kubeconfig", kubeconfig(t, &api.AuthInfo{Token: "t"})}, strings.Fields(typed)...)
		var out, wrong bytes.Buffer
		code := run(t.Context(), append(words, "--server", daemon.URL, ""), &out, &wrong)
		require.Zero(t, code, wrong.String())
		var got []string
		for line := range strings.Lines(out.String()) {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(name, ":") {
				got = append(got, name)
			}
		}
		require.Equal(t, want, got, "%s: %s", typed, out.String())
	}
}

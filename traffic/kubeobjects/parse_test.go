package kubeobjects

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzManagers: no managed fields make it panic, and Serin's own are nobody's doing.
func FuzzManagers(f *testing.F) {
	f.Add([]byte(`{"f:spec":{"f:weighted":{".":{},"f:services":{}},"f:x":{}}}`))
	f.Add([]byte(`{"f:spec":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entry := metav1.ManagedFieldsEntry{Manager: "kubectl", FieldsV1: &metav1.FieldsV1{Raw: raw}}
		theirs := &Stored{Object: &metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{entry}}}
		paths := SpecFields(entry)
		require.Equal(t, len(paths) > 0, len(Strangers(Key{"TraefikService", "shop"}, theirs)) > 0)
		own := entry
		own.Manager = Manager
		both := &Stored{Object: &metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{entry, own}}}
		require.Empty(t, Strangers(Key{"TraefikService", "shop"}, both), "what both have written is Serin's, too")
	})
}

// FuzzServiceOf: what is taken for a Service's address is one.
func FuzzServiceOf(f *testing.F) {
	for _, s := range []string{"http://traefik.traefik.svc:8080", "https://a.b.svc.cluster.local", "http://a.svc", "http://a.b.svc/x", "http://[::1]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, api string) {
		s, ok, err := serviceOf(api)
		if err != nil || !ok {
			require.Zero(t, s)
			return
		}
		u, err := url.Parse(api)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(u.Hostname(), s.name+"."+s.namespace+".svc"))
	})
}

// FuzzExtra: removing what is extra leaves no more than what is wanted.
func FuzzExtra(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":2}}`), []byte(`{"a":1,"b":{"c":2,"d/e":3},"x~":[1]}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var want, got map[string]any
		if json.Unmarshal(a, &want) != nil || json.Unmarshal(b, &got) != nil {
			return
		}
		for _, path := range extra("", want, got) {
			removeAt(got, strings.Split(path, "/")[1:])
		}
		require.Empty(t, extra("", want, got))
	})
}

func removeAt(tree map[string]any, path []string) {
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(path[0])
	if below, ok := tree[name].(map[string]any); ok && len(path) > 1 {
		removeAt(below, path[1:])
		return
	}
	delete(tree, name)
}

package kubeobjects

import (
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/traffic"
)

// No managed fields make it panic, and those of Serin are never reported as another writer's.
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
		require.Empty(t, Strangers(Key{"TraefikService", "shop"}, both), "a field that both have written is also Serin's")
	})
}

// Whatever is taken for a Service's address is one.
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

// Whatever a list of references has become, the way back removes the canary from it and keeps what others have added.
func FuzzSplit(f *testing.F) {
	f.Add([]byte(`[{"name":"shop","port":80,"weight":90},{"name":"shop-canary","port":80,"weight":10}]`))
	f.Add([]byte(`[{"name":"shop-canary","port":80,"filters":[1]},{"name":"other","weight":3},7,{"name":"shop-canary","port":80,"weight":null}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var refs any
		if json.Unmarshal(data, &refs) != nil {
			return
		}
		stable, canary := traffic.Backend{Service: "shop", Port: "80"}, traffic.Backend{Service: "shop-canary", Port: "80"}
		leadsTo := func(ref map[string]any, b traffic.Backend) bool {
			return ref["name"] == b.Service && ref["port"] == 80.
		}
		is := SplitOf(refs, stable, canary, leadsTo)
		if !is.Leads() {
			require.Zero(t, is.Weights)
			return
		}
		if sum := is.Weights.Stable + is.Weights.Canary; sum < 0 || sum > 1e9 {
			return // the API server accepts weights of up to a million
		}
		operations := is.With("/spec", Weights{Stable: 100}, func(like map[string]any, w Weights) []any {
			ref := maps.Clone(like)
			ref["name"], ref["port"], ref["weight"] = stable.Service, 80., float64(w.Stable)
			return []any{ref}
		})
		now := refs
		if len(operations) > 0 {
			now = operations[len(operations)-1].Value
		}
		after := SplitOf(now, stable, canary, leadsTo)
		require.Zero(t, after.Weights.Canary)
		require.Positive(t, after.Weights.Stable)
		require.Equal(t, is.Others, after.Others)
		require.Equal(t, is.Like, after.Like)
	})
}

// After the extra fields are removed, only wanted ones are left.
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

package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/testbed"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

// serviceMonitors adds the kind ServiceMonitor to the API server. The definition comes from
// github.com/prometheus-operator/prometheus-operator v0.85.0, example/prometheus-operator-crd.
func serviceMonitors(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	definition, err := os.ReadFile("testdata/servicemonitor-definition.yaml")
	require.NoError(t, err)
	c.Apply(t, "", string(definition))
	await.True(t, func() bool {
		_, err := c.Client.Discovery().ServerResourcesForGroupVersion("monitoring.coreos.com/v1")
		return err == nil
	})
}

// schemas writes the schemas of all kinds that the tests' API server has, in kubeconform's form with a file for each kind, and
// returns their location.
func schemas(t *testing.T, c *testcluster.Cluster) string {
	t.Helper()
	type schema = map[string]any
	var api struct{ Definitions map[string]schema }
	await.True(t, func() bool { // kinds that were just defined appear a moment later
		doc, err := c.Client.Discovery().RESTClient().Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").DoRaw(t.Context())
		require.NoError(t, err)
		api.Definitions = nil
		require.NoError(t, json.Unmarshal(doc, &api))
		return api.Definitions["com.coreos.monitoring.v1.ServiceMonitor"] != nil
	})
	for name, d := range api.Definitions {
		strict(d)
		if strings.HasSuffix(name, ".intstr.IntOrString") {
			api.Definitions[name] = schema{"type": []string{"integer", "string"}}
		}
	}
	dir := t.TempDir()
	for name, d := range api.Definitions {
		for _, k := range kindsOf(t, d) {
			group, _, _ := strings.Cut(k.Group, ".")
			file := strings.ToLower(strings.Trim(k.Kind+"-"+group, "-") + "-" + k.Version)
			used := schema{}
			reach(api.Definitions, name, used)
			text, err := json.Marshal(schema{"$ref": "#/definitions/" + name, "definitions": used})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file+".json"), text, 0o600))
		}
	}
	return filepath.Join(dir, "{{.ResourceKind}}{{.KindSuffix}}.json")
}

type kind struct{ Group, Version, Kind string }

func kindsOf(t *testing.T, definition map[string]any) (out []kind) {
	t.Helper()
	text, err := json.Marshal(definition["x-kubernetes-group-version-kind"])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// strict makes all levels of a schema refuse unknown properties.
func strict(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			strict(v)
		}
	case map[string]any:
		_, named := s["properties"].(map[string]any)
		if _, said := s["additionalProperties"]; named && !said && s["x-kubernetes-preserve-unknown-fields"] != true {
			s["additionalProperties"] = false
		}
		for _, v := range s {
			strict(v)
		}
	}
}

// reach adds a definition, and everything that it refers to, to used.
func reach(all map[string]map[string]any, name string, used map[string]any) {
	if used[name] != nil {
		return
	}
	used[name] = all[name]
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				walk(one)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				reach(all, strings.TrimPrefix(ref, "#/definitions/"), used)
			}
			for _, one := range v {
				walk(one)
			}
		}
	}
	walk(all[name])
}

// conforms checks manifests against schemas.
func conforms(t *testing.T, schemas, manifests string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifests.yaml")
	require.NoError(t, os.WriteFile(file, []byte(manifests), 0o600))
	return program(t, "kubeconform", "-strict", "-summary", "-schema-location", schemas, file)
}

func TestTheChartAndTheKustomizeBaseConformToTheSchemas(t *testing.T) {
	t.Parallel()
	c := testcluster.Shared(t)
	serviceMonitors(t, c)
	where := schemas(t, c)
	out, err := conforms(t, where, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: many, selector: {}, template: {spec: {containers: [{name: a, imagee: b}]}}}}")
	require.Error(t, err, "a Deployment like that does not conform")
	require.Contains(t, out, "imagee")
	require.Contains(t, out, "replicas")

	manifests := map[string]string{}
	for name, values := range variants {
		manifests["chart "+name] = mustRender(t, "serin", strings.NewReplacer("NS2", "two", "NS", "one").Replace(values))
	}
	for file, text := range kustomized(t) {
		manifests["kustomize "+file] = text
	}
	require.NoError(t, testbed.Reads("examples/gitops"))
	for example, says := range map[string]string{"shop": "strategy: wait", "shop-patch": "strategy: patch"} {
		folder, err := filepath.Abs("../examples/gitops/" + example)
		require.NoError(t, err)
		built, err := program(t, "kustomize", "build", folder)
		require.NoError(t, err, built)
		require.Contains(t, built, says)
		name, ours := "example GitOps "+example, filepath.Join(t.TempDir(), "rollout.yaml")
		own := ""
		for document := range strings.SplitSeq(built, "\n---\n") {
			if strings.HasPrefix(document, "apiVersion: serin.dev/") {
				own += "---\n" + strings.Replace(document, "  namespace: pro\n", "", 1) + "\n"
				continue
			}
			manifests[name] += "---\n" + document + "\n"
		}
		require.Equal(t, 2, strings.Count(manifests[name], "namespace: pro"))
		require.NoError(t, os.WriteFile(ours, []byte(own), 0o600))
		set, errs := config.Load(ours)
		for _, e := range errs { // a file's rollout has to name the namespace
			require.Contains(t, e.Path, "namespace", "%s", e.Error())
		}
		require.NotNil(t, set)
	}
	for name, text := range manifests {
		t.Run(name, func(t *testing.T) {
			out, err := conforms(t, where, text)
			require.NoError(t, err, out)
			require.Contains(t, out, "Invalid: 0, Errors: 0, Skipped: 0")
		})
	}
}

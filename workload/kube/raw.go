package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// hash of a part of an object. Equal parts have equal hashes, in whatever order their keys came.
func hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:10])
}

// template is the pod template of a Deployment, as it is; it must not be changed.
func template(o *unstructured.Unstructured) map[string]any { return at(o.Object, "spec", "template") }

// at is the object under a path of keys, nil if there is none; it must not be changed.
func at(in map[string]any, path ...string) map[string]any {
	for _, key := range path {
		in, _ = in[key].(map[string]any)
	}
	return in
}

// replicas is how many pods a Deployment is to have.
func replicas(o *unstructured.Unstructured) int64 {
	n, found, err := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if err != nil || !found {
		return 1
	}
	return n
}

// labels under a path of keys.
func labels(in map[string]any, path ...string) map[string]string {
	out := map[string]string{}
	for key, value := range at(in, path...) {
		if s, ok := value.(string); ok {
			out[key] = s
		}
	}
	return out
}

func podLabels(template map[string]any) map[string]string {
	return labels(template, "metadata", "labels")
}

// withLabels is a template with other labels. The rules about where its own pods run select by the new ones: those of a
// copy must not be about the original's pods.
func withLabels(template map[string]any, l map[string]string) map[string]any {
	out := ownRules(template, podLabels(template), l)
	meta := maps.Clone(at(template, "metadata"))
	if meta == nil {
		meta = map[string]any{}
	}
	all := map[string]any{}
	for k, v := range l {
		all[k] = v
	}
	meta["labels"] = all
	out["metadata"] = meta
	return out
}

// images by container of a template, init containers too.
func images(template map[string]any) map[string]string {
	out := map[string]string{}
	for _, list := range containerLists {
		containers, _ := at(template, "spec")[list].([]any)
		for _, c := range containers {
			if c, ok := c.(map[string]any); ok {
				name, _ := c["name"].(string)
				out[name], _ = c["image"].(string)
			}
		}
	}
	return out
}

var containerLists = []string{"initContainers", "containers"}

// withImages is a template with other images; an image for a container that it does not have is refused.
func withImages(template map[string]any, of map[string]string) (map[string]any, error) {
	there := images(template)
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if _, ok := there[name]; !ok {
			return nil, refused(fmt.Sprintf("it has no container %s; its containers are %s", name,
				strings.Join(slices.Sorted(maps.Keys(there)), ", ")))
		}
	}
	out := runtime.DeepCopyJSON(template)
	for _, list := range containerLists {
		containers, _ := at(out, "spec")[list].([]any)
		for _, c := range containers {
			c, _ := c.(map[string]any)
			name, _ := c["name"].(string)
			if image, ok := of[name]; ok {
				c["image"] = image
			}
		}
	}
	return out, nil
}

// operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// pointer escapes a key for a JSON pointer (RFC 6901).
func pointer(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// unpointer is the opposite of [pointer].
func unpointer(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
}

// refused is why something will not be done whatever the cluster says; it is a Deployment's or a Job's failure, not an
// error of the cluster.
type refused string

func (r refused) Error() string { return string(r) }

// selects tells whether a selector of equalities fits; an empty one fits nothing.
func selects(selector, l map[string]string) bool {
	for k, v := range selector {
		if have, ok := l[k]; !ok || have != v {
			return false
		}
	}
	return len(selector) > 0
}

// text of labels: a=b,c=d.
func text(l map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		out = append(out, k+"="+l[k])
	}
	return strings.Join(out, ",")
}

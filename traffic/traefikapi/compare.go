package traefikapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
)

// Difference is one field of an object that differs from what it should be.
type Difference struct {
	Object string // its name in Traefik
	Text   string
}

// Texts returns the texts of differences.
func Texts(differences []Difference) []string {
	var out []string
	for _, d := range differences {
		out = append(out, d.Text)
	}
	return out
}

// fields maps the path of each field of one object to its value, as JSON.
type fields map[string]string

// Compare lists, sorted, how got differs from want. If exact is set, got may have nothing more; otherwise additional
// fields and objects are ignored, because Traefik adds some.
func Compare(want, got *dynamic.HTTPConfiguration, exact bool) []Difference {
	return CompareAll(&dynamic.Configuration{HTTP: want}, &dynamic.Configuration{HTTP: got}, exact)
}

// CompareAll is [Compare] with the objects of TCP.
func CompareAll(want, got *dynamic.Configuration, exact bool) []Difference {
	w, g := flatten(want), flatten(got)
	var out []Difference
	for _, key := range slices.Sorted(maps.Keys(w)) {
		object := key[strings.LastIndex(key, " ")+1:]
		if g[key] == nil {
			out = append(out, Difference{object, key + " is missing"})
			continue
		}
		for _, text := range differ(key, w[key], g[key], exact) {
			out = append(out, Difference{object, text})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g)) {
		if exact && w[key] == nil {
			object := key[strings.LastIndex(key, " ")+1:]
			out = append(out, Difference{object, key + " should not be there"})
		}
	}
	return out
}

// Differ lists in words, sorted, how the JSON fields of an object differ from those it should have. If exact is set, got
// may have nothing more; otherwise additional fields are ignored.
func Differ(object string, want, got any, exact bool) []string {
	return differ(object, fieldsOf(want), fieldsOf(got), exact)
}

func differ(key string, want, got fields, exact bool) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(want)) {
		switch value, ok := got[path]; {
		case ok && value != want[path]:
			out = append(out, fmt.Sprintf("%s: %s is %s, not %s", key, path, value, want[path]))
		case !ok && want[path] == empty && !exact && hasBelow(got, path): // an empty object was wanted, and one with fields is there
		case !ok:
			out = append(out, fmt.Sprintf("%s: %s is missing, not %s", key, path, want[path]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; exact && !ok {
			out = append(out, fmt.Sprintf("%s: %s is %s, and should not be there", key, path, got[path]))
		}
	}
	return out
}

func hasBelow(f fields, path string) bool {
	for p := range f {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// flatten returns the fields of every object by its kind and name.
func flatten(c *dynamic.Configuration) map[string]fields {
	out := map[string]fields{}
	if h := c.HTTP; h != nil {
		add(out, "router ", h.Routers)
		add(out, "service ", h.Services)
		add(out, "middleware ", h.Middlewares)
	}
	if t := c.TCP; t != nil {
		add(out, "TCP router ", t.Routers)
		add(out, "TCP service ", t.Services)
	}
	return out
}

func add[T any](out map[string]fields, kind string, objects map[string]T) {
	for name, object := range objects {
		out[kind+name] = fieldsOf(object)
	}
}

// empty is the value of an object without fields.
const empty = "{}"

func fieldsOf(object any) fields {
	var tree any
	if err := json.Unmarshal(toJSON(object), &tree); err != nil {
		panic(fmt.Sprintf("JSON of a %T: %v", object, err)) // encoding/json has just produced it
	}
	out := fields{}
	out.add("", tree)
	return out
}

// add descends into objects. Lists stay whole, because their order matters.
func (f fields) add(path string, tree any) {
	object, ok := tree.(map[string]any)
	if !ok || len(object) == 0 {
		f[path] = string(toJSON(tree))
		return
	}
	for name, value := range object {
		f.add(strings.TrimPrefix(path+"."+name, "."), value)
	}
}

// toJSON encodes without HTML escapes, because people read the result.
func toJSON(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("JSON of a %T: %v", v, err)) // all of Traefik's types can be encoded
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

package traefikfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
)

// difference is a field of an object that is not as it should be.
type difference struct {
	object string // its name in Traefik
	text   string
}

func texts(differences []difference) []string {
	var out []string
	for _, d := range differences {
		out = append(out, d.text)
	}
	return out
}

// fields are the values of one object by their path, as JSON.
type fields map[string]string

// compare lists what differs between what should be there and what is, sorted. Exact: nothing more may be there;
// otherwise fields and objects that should not be there are passed over, for Traefik adds some.
func compare(want, got *dynamic.HTTPConfiguration, exact bool) []difference {
	w, g := flatten(want), flatten(got)
	var out []difference
	for _, key := range slices.Sorted(maps.Keys(w)) {
		_, object, _ := strings.Cut(key, " ")
		if g[key] == nil {
			out = append(out, difference{object, key + " is missing"})
			continue
		}
		for _, text := range differ(key, w[key], g[key], exact) {
			out = append(out, difference{object, text})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g)) {
		if exact && w[key] == nil {
			_, object, _ := strings.Cut(key, " ")
			out = append(out, difference{object, key + " should not be there"})
		}
	}
	return out
}

func differ(key string, want, got fields, exact bool) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(want)) {
		switch value, ok := got[path]; {
		case ok && value != want[path]:
			out = append(out, fmt.Sprintf("%s: %s is %s, not %s", key, path, value, want[path]))
		case !ok && want[path] == empty && !exact && hasBelow(got, path): // something in it is not nothing
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

// flatten is every object by its kind and name.
func flatten(h *dynamic.HTTPConfiguration) map[string]fields {
	out := map[string]fields{}
	for name, r := range h.Routers {
		out["router "+name] = fieldsOf(r)
	}
	for name, s := range h.Services {
		out["service "+name] = fieldsOf(s)
	}
	for name, m := range h.Middlewares {
		out["middleware "+name] = fieldsOf(m)
	}
	return out
}

// empty is the value of an object without fields.
const empty = "{}"

func fieldsOf(object any) fields {
	var tree any
	if err := json.Unmarshal(toJSON(object), &tree); err != nil {
		panic(fmt.Sprintf("JSON of a %T: %v", object, err)) // it has just been written by the same package
	}
	out := fields{}
	out.add("", tree)
	return out
}

// add takes objects apart; lists stay whole, for their order counts.
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

// toJSON writes without the escapes for HTML, because people read it.
func toJSON(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("JSON of a %T: %v", v, err)) // Traefik's types all have one
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// Package frozen answers the question whether Serin still stores things in the form that existing databases have. There is
// deliberately no flag that writes its files: what was stored once has to stay readable, so a line is added for each new
// form, and no line is ever changed.
package frozen

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Lines reads a file of stored forms, one a line. Empty lines and those that begin with # are comments.
func Lines(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// Unset lists the fields, with their types, that are zero everywhere in values, so that the values do not show their
// stored form. Fields that are not stored are left out.
func Unset(values ...any) []string {
	seen := map[string]bool{}
	for _, v := range values {
		visit(seen, reflect.ValueOf(v))
	}
	var out []string
	for field, set := range seen {
		if !set {
			out = append(out, field)
		}
	}
	slices.Sort(out)
	return out
}

func visit(seen map[string]bool, v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			visit(seen, v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			visit(seen, v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			visit(seen, v.MapIndex(key))
		}
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() {
			visitFields(seen, v)
		}
	default:
	}
}

func visitFields(seen map[string]bool, v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || field.Tag.Get("json") == "-" {
			continue
		}
		name := v.Type().String() + "." + field.Name
		seen[name] = seen[name] || !v.Field(i).IsZero()
		visit(seen, v.Field(i))
	}
}

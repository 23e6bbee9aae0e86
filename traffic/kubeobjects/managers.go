package kubeobjects

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Strangers lists the fields of one of Serin's specs that others wrote last, with who and when.
func Strangers(k Key, have *Stored) []string {
	ours := map[string]bool{}
	for _, m := range have.GetManagedFields() {
		if m.Manager == Manager {
			for _, path := range SpecFields(m) {
				ours[path] = true
			}
		}
	}
	var out []string
	for _, m := range have.GetManagedFields() {
		if m.Manager == Manager || m.Subresource != "" {
			continue
		}
		var paths []string
		for _, path := range SpecFields(m) {
			if !ours[path] {
				paths = append(paths, path)
			}
		}
		if len(paths) > 0 {
			out = append(out, fmt.Sprintf("%s: %s was written by %s", k, strings.Join(paths, ", "), Who(m)))
		}
	}
	slices.Sort(out)
	return out
}

// LastWriter says who other than Serin last wrote a field below spec of a user's object; it is empty if nobody did.
func LastWriter(fields []metav1.ManagedFieldsEntry, field string) string {
	for _, m := range fields {
		if m.Manager != Manager && m.Subresource == "" && slices.Contains(SpecFields(m), field) {
			return ": it was last written by " + Who(m)
		}
	}
	return ""
}

// Who names a manager and the time of its last write.
func Who(m metav1.ManagedFieldsEntry) string {
	if m.Time == nil {
		return fmt.Sprintf("%q", m.Manager)
	}
	return fmt.Sprintf("%q at %s", m.Manager, m.Time.UTC().Format(time.RFC3339))
}

// SpecFields returns the paths below spec that a manager owns, sorted: "weighted.services". Fields that cannot be
// decoded count as none.
func SpecFields(m metav1.ManagedFieldsEntry) []string {
	if m.FieldsV1 == nil {
		return nil
	}
	var tree map[string]any
	if err := json.Unmarshal(m.FieldsV1.Raw, &tree); err != nil {
		return nil
	}
	spec, ok := tree["f:spec"].(map[string]any)
	if !ok {
		return nil
	}
	out := leaves("", spec)
	slices.Sort(out)
	return out
}

// leaves walks a set of fields (sigs.k8s.io/structured-merge-diff, fieldpath): "f:NAME" is a field, "." the thing itself.
func leaves(at string, tree map[string]any) []string {
	var out []string
	for name, below := range tree {
		field, ok := strings.CutPrefix(name, "f:")
		if !ok {
			continue
		}
		path := strings.TrimPrefix(at+"."+field, ".")
		if inner, ok := below.(map[string]any); ok && len(inner) > 0 {
			out = append(out, leaves(path, inner)...)
			continue
		}
		out = append(out, path)
	}
	return out
}

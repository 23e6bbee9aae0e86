package config

import (
	"fmt"
	"strings"
)

// Validate loads files and folders as [Loader.Load] does and reports all errors, all warnings, and in the last line a
// summary. ok is false if there are errors, or no documents.
func (l Loader) Validate(paths ...string) (report string, ok bool) {
	set, errs := l.Load(paths...)
	var b strings.Builder
	for _, e := range errs {
		b.WriteString(e.Error() + "\n")
	}
	for _, w := range set.Warnings {
		w.Message = "warning: " + w.Message
		b.WriteString(w.Error() + "\n")
	}
	if len(errs) > 0 {
		fmt.Fprintf(&b, "%s in %s\n", count(len(errs), "error", "errors"), count(set.Files, "file", "files"))
		return b.String(), false
	}
	if documents := len(set.Rollouts) + len(set.Analyses) + len(set.Daemons); documents == 0 {
		fmt.Fprintf(&b, "nothing to check: no documents in %s\n", strings.Join(paths, ", "))
		return b.String(), false
	}
	for _, r := range set.Rollouts {
		fmt.Fprintf(&b, "rollout %s: revision %s, %s\n", r.Plan.Rollout.Name, r.Plan.Rollout.Revision,
			count(len(r.Plan.Rollout.Steps), "step", "steps"))
	}
	fmt.Fprintf(&b, "OK: %s, %s, %s in %s\n", count(len(set.Rollouts), "rollout", "rollouts"),
		count(len(set.Analyses), "analysis", "analyses"), count(len(set.Daemons), "daemon", "daemons"), count(set.Files, "file", "files"))
	return b.String(), true
}

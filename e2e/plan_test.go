package e2e

import (
	"fmt"
	"path/filepath"
)

// quick is an analysis that decides in seconds: its margins fit the traffic of these tests.
func quick(name, more string) string {
	return fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: Analysis
metadata: {name: %s}
spec:
  interval: 1s
  warmUp: 0s
  passAfter: 1s
  settle: 500ms
  minRequests: 30
  fresh: {every: 10m, live: 6}
%s
  metrics:
    - name: errors
      preset: traefik-errors
      margin: {relative: 100%%, absolute: 10%%}
---
`, name, more)
}

// The steps of the tests: a whole release, and one that only moves the main route.
const (
	whole = `
    - ab:
        cohort: {header: {name: X-User-Group, value: beta}}
        split: 50%
        decide: {min: 1s, max: 10m, inconclusive: rollback}
    - gray: {weights: [20%, 50%], hold: 1s, decide: {max: 10m, inconclusive: rollback}}
    - gate: {name: full-release}
    - promote: {}`
	grayOnly = `
    - gray: {weights: [20%, 50%], hold: 1s, decide: {max: 10m, inconclusive: rollback}}
    - gate: {name: full-release}
    - promote: {}`
	// slow holds its first weight long enough for a test to break something meanwhile.
	slow = `
    - gray: {weights: [20%, 50%], hold: 8s, decide: {max: 10m, inconclusive: rollback}}
    - gate: {name: full-release}
    - promote: {}`
)

// document is a rollout called name under the path /NAME, judged by the given analysis.
func (w *world) document(name, analysis, steps string) string {
	return fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: Rollout
metadata: {name: %s}
spec:
  traffic:
    traefikFile:
      path: %s
      rule: PathPrefix(`+"`/%s`"+`)
      entryPoints: [web]
      verify: {api: "%s"}
  stable: {servers: ["%s"]}
  canary: {servers: ["%s"]}
  analysis: %s
  steps:%s
  rollback: {drain: 1s}
---
`, name, w.file(name), name, w.api.URL, w.blue.URL, w.green.URL, analysis, steps)
}

// file is where Traefik reads a rollout's configuration.
func (w *world) file(name string) string { return filepath.Join(w.traefik.Directory, name+".yaml") }

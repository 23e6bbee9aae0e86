package tell

import (
	"slices"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

// ArmVersion is what one arm of a release runs, or another workload of the release.
type ArmVersion struct {
	// Name says which: "new version", "version before", or "in service" once the release is over; empty for a workload that
	// is no arm.
	Name string
	// Version as people call it; empty if unknown.
	Version string
	// Workload is its Deployment or the like, and Images what that runs: "image", or "container=image" if there are
	// several (Kubernetes). Both are empty without Kubernetes.
	Workload string
	Images   []string
	// State is that of a workload of the release, and Why says what is missing: which pod, and why. Changed says which
	// external change has been reverted.
	State   Badge
	Why     string
	Changed []string
}

// Arms returns what both arms run, as far as that is known, and the other workloads of the release. before is the
// version that was in service when the release began, as people call it; empty if unknown.
func Arms(v record.View, before string) []ArmVersion {
	if v.Release == nil || v.Arms == nil && before == "" && len(v.Workloads) == 0 { // the release's own version is shown elsewhere
		return nil
	}
	runs := v.Arms
	if runs == nil {
		runs = &record.Arms{}
	}
	var out []ArmVersion
	arm := func(name, version string, r record.Running) {
		a := ArmVersion{Name: name, Version: version, Images: imagesOf(r)}
		if r.Workload != (workload.Name{}) {
			a.Workload = r.Workload.String()
		}
		if a.Version != "" || len(a.Images) > 0 {
			out = append(out, a)
		}
	}
	if v.State.Ended() {
		arm("in service", "", runs.Stable)
	} else {
		arm("new version", rollout.Version(v.State.Parameters), runs.Canary)
		arm("version before", before, runs.Stable)
	}
	for _, w := range v.Workloads {
		name := w.Name.String()
		i := slices.IndexFunc(out, func(a ArmVersion) bool { return a.Workload == name })
		if i < 0 {
			i, out = len(out), append(out, ArmVersion{Workload: name})
		}
		out[i].State, out[i].Why, out[i].Changed = WorkloadBadge(w.Phase), w.Why, w.Changed
	}
	return out
}

func imagesOf(r record.Running) []string {
	if len(r.Images) < 2 {
		if r.Image == "" {
			return nil
		}
		return []string{r.Image}
	}
	return pairs(r.Images)
}

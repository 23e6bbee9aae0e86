package tell

import (
	"fmt"
	"strings"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Origin says why a release takes these steps, if it is not an ordinary one; empty for most.
func Origin(s rollout.State) string {
	switch {
	case s.Retries != "":
		return "it tries the version of release " + s.Retries + " again" + Colon(notAgain(s.Done, s.Retries))
	case s.Returns != "":
		return "its version was in service not long ago (release " + s.Returns + "), so it takes the shorter plan for versions that return"
	case s.Undoes != "":
		return "it takes the version of release " + s.Undoes + " out of service again"
	}
	return ""
}

// notAgain says which Jobs are not run again; empty for none.
func notAgain(jobs []string, release string) string {
	switch len(jobs) {
	case 0:
		return ""
	case 1:
		return "job " + jobs[0] + " succeeded in release " + release + " and is not run again"
	}
	return "jobs " + strings.Join(jobs, ", ") + " succeeded in release " + release + " and are not run again"
}

// Returning says which versions take the shorter plan; empty without such a plan.
func Returning(d *rollout.Definition) string {
	if d == nil || d.Returning == nil {
		return ""
	}
	r, which := d.Returning, []string{}
	if r.Within > 0 {
		which = append(which, "within the last "+figures.Span(r.Within))
	}
	if r.Releases == 1 {
		which = append(which, "before the last release")
	} else if r.Releases > 1 {
		which = append(which, fmt.Sprintf("within the last %d releases", r.Releases))
	}
	steps := make([]string, len(r.Steps))
	for i, step := range r.Steps {
		steps[i] = step.StepName()
	}
	return "a version that was in service " + strings.Join(which, " and ") + " takes a shorter plan: " + strings.Join(steps, ", ")
}

// PlanNotes returns sentences about a plan as a whole: why a release has it, or which versions take another one, and
// when its steps are entered.
func PlanNotes(v record.View) (lines []string) {
	note := Returning(v.Definition)
	if v.Release != nil {
		note = Origin(v.State)
	}
	if note != "" {
		lines = append(lines, note)
	}
	return append(lines, Calendars(v.Definition)...)
}

package traffic

import (
	"fmt"
	"math"
	"slices"

	"github.com/serindev/serin/share"
)

// weightTolerance is how far a served share may be from the target's: gateways have whole numbers for weights.
const weightTolerance = 1e-4

// Confirmation says how well it is known that a target is served.
type Confirmation int

// The confirmations, from none to all.
const (
	// NotServed: at least one replica that answered serves something else, or nothing is written.
	NotServed Confirmation = iota
	// Unconfirmed: written, and no replica could be asked.
	Unconfirmed
	// InForce: every replica that answered serves it, and at least one did.
	InForce
)

// Confirm says whether t is served, by what was observed. Replicas that do not answer do not count against it as
// long as one does: they are shown, and asked again.
func Confirm(t Target, o Observed) Confirmation {
	if o.Configured == nil || len(Differences(t, o)) > 0 {
		return NotServed
	}
	for _, r := range o.Replicas {
		if r.Err == "" {
			return InForce
		}
	}
	return Unconfirmed
}

// Differences lists in words where what was observed differs from the target; none means none was seen. Replicas
// that did not answer are not differences.
func Differences(t Target, o Observed) []string {
	var out []string
	switch {
	case o.Unreadable != "":
		out = append(out, "configuration: "+o.Unreadable)
	case o.Configured == nil:
		out = append(out, "configuration: nothing is written")
	default:
		for _, f := range o.Configured.Foreign {
			out = append(out, "configuration: "+f)
		}
		out = append(out, differ("configuration", t, o.Configured.Served)...)
	}
	for _, r := range o.Replicas {
		if r.Err == "" {
			out = append(out, differ(r.Name, t, r.Served)...)
		}
	}
	return out
}

func differ(who string, t Target, s Served) []string {
	out := differRoute(who+": main route", t.Weight, t, s.Main)
	switch {
	case t.Cohort != nil:
		out = append(out, differRoute(who+": cohort route", t.Cohort.Split, t, s.Cohort)...)
	case s.Cohort != nil:
		out = append(out, who+": cohort route is still there")
	}
	if want := t.Guards.Names(); !slices.Equal(want, s.Guards) {
		out = append(out, fmt.Sprintf("%s: guards are %v, not %v", who, s.Guards, want))
	}
	return out
}

func differRoute(what string, weight share.Share, t Target, s *RouteServed) []string {
	if s == nil {
		return []string{what + " is missing"}
	}
	var out []string
	if !s.Enabled {
		out = append(out, what+" is not enabled: "+s.Problem)
	}
	if math.Abs(float64(s.Weight-weight)) > weightTolerance {
		out = append(out, fmt.Sprintf("%s: canary's weight is %s, not %s", what, s.Weight, weight))
	}
	out = append(out, differServers(what+": stable", t.Stable.Servers, s.Stable)...)
	return append(out, differServers(what+": canary", t.Canary.Servers, s.Canary)...)
}

// differServers is silent where either side does not name servers.
func differServers(what string, want, got []string) []string {
	if len(want) == 0 || len(got) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(want))
	if slices.Equal(sorted, got) {
		return nil
	}
	return []string{fmt.Sprintf("%s is served by %v, not %v", what, got, sorted)}
}

// Names lists the guards that are set, sorted.
func (g Guards) Names() []string {
	var out []string
	if g.CircuitBreaker != nil {
		out = append(out, "circuitBreaker")
	}
	if g.RateLimit != nil {
		out = append(out, "rateLimit")
	}
	return out
}

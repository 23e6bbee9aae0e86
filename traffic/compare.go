package traffic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/serindev/serin/share"
)

// weightTolerance covers the rounding of floats only: whole numbers represent shares exactly, see [Weights].
const weightTolerance = 1e-6

// Confirmation says how well it is known that a target is served. It is empty before anything was observed.
type Confirmation string

// The confirmations, from none to all.
const (
	// NotServed: at least one replica that answered serves something else, or nothing is written.
	NotServed Confirmation = "not served"
	// Unconfirmed: written, and no replica could be asked.
	Unconfirmed Confirmation = "unconfirmed"
	// InForce: every replica that answered serves it, and at least one did.
	InForce Confirmation = "in force"
)

// Confirm says whether t is served, according to what was observed. Replicas that do not answer do not count against it
// as long as one does: they are shown, and asked again.
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

// Differences lists in words where the observation differs from the target; an empty list means that no difference was
// seen. Replicas that did not answer are not differences.
func Differences(t Target, o Observed) []string {
	out := Drift(t, o)
	for _, r := range o.Replicas {
		if r.Err == "" {
			out = append(out, differ(r.Name, t, r.Served)...)
		}
	}
	return out
}

// Drift lists where the written configuration differs from the target, whatever the replicas serve. After a successful
// write it is the work of an external writer.
func Drift(t Target, o Observed) []string {
	switch {
	case o.Unreadable != "" && o.Configured == nil:
		return []string{"configuration: " + o.Unreadable}
	case o.Configured == nil:
		return []string{"configuration: nothing is written"}
	}
	var out []string
	for _, f := range o.Configured.Foreign {
		out = append(out, "configuration: "+f)
	}
	return append(out, differ("configuration", t, o.Configured.Served)...)
}

// Finding is what an observation says about a target that was written.
type Finding int

// The findings.
const (
	// FoundWritten: it is as it was written.
	FoundWritten Finding = iota
	// FoundUnreadable: what is there cannot be read, so no change by others is known.
	FoundUnreadable
	// FoundBroken: it is as it was written but can no longer be served, for example because an arm has lost its
	// endpoints.
	FoundBroken
	// FoundChanged: an external writer has changed it.
	FoundChanged
	// FoundNever: it differs, and was never seen as it was written.
	FoundNever
)

// Find says who caused the written configuration to differ from the target, and how it differs. seen: it has been seen
// as written; only then is a difference the work of an external writer.
func Find(t Target, o Observed, seen bool) (f Finding, how []string) {
	how = Drift(t, o)
	switch {
	case o.Unreadable != "":
		return FoundUnreadable, how
	case len(how) == 0:
		return FoundWritten, nil
	case !seen:
		return FoundNever, how
	case len(how) == len(Broken(o)):
		return FoundBroken, how
	}
	return FoundChanged, how
}

// Broken lists the routes that are written and cannot be served, with the reason, such as an arm without endpoints:
// nobody has changed what is written. They are among what [Drift] lists.
func Broken(o Observed) []string {
	var out []string
	if c := o.Configured; c != nil {
		for _, route := range []struct {
			name   string
			served *RouteServed
		}{{"main", c.Main}, {"cohort", c.Cohort}, {"mirror", c.Mirror}, {"preview", c.Preview}} {
			out = append(out, broken("configuration: "+route.name+" route", route.served)...)
		}
	}
	return out
}

func broken(what string, s *RouteServed) []string {
	if s == nil || s.Enabled {
		return nil
	}
	return []string{what + " is not enabled: " + s.Problem}
}

func differ(who string, t Target, s Served) []string {
	out := differRoute(who+": main route", t.Weight, t, s.Main)
	if s.Main != nil && s.Main.Sticky != t.Sticky {
		out = append(out, fmt.Sprintf("%s: main route: sticky is %q, not %q", who, s.Main.Sticky, t.Sticky))
	}
	switch {
	case t.Cohort != nil:
		out = append(out, differRoute(who+": cohort route", t.Cohort.Split, t, s.Cohort)...)
		out = append(out, differCohort(who+": cohort route", *t.Cohort, s.Cohort)...)
	case s.Cohort != nil:
		out = append(out, who+": cohort route is still there")
	}
	out = append(out, differLanes(who, t, s)...)
	if want := t.Guards.Names(); !slices.Equal(want, s.Guards) {
		out = append(out, fmt.Sprintf("%s: guards are %v, not %v", who, s.Guards, want))
	} else if s.Limits != nil {
		out = append(out, differLimits(who, t.Guards, *s.Limits)...)
	}
	return out
}

func differCohort(what string, c Cohort, s *RouteServed) []string {
	if s == nil {
		return nil // reported already
	}
	match, err := c.Match.Text()
	out := differMatch(what, match, err, s)
	if c.Sticky != s.Sticky {
		out = append(out, fmt.Sprintf("%s: sticky is %q, not %q", what, s.Sticky, c.Sticky))
	}
	return out
}

func differLimits(who string, want, got Guards) []string {
	want, got = want.filled(), got.filled()
	var out []string
	if b, c := want.CircuitBreaker, got.CircuitBreaker; b != nil && c != nil && *b != *c {
		out = append(out, fmt.Sprintf("%s: circuitBreaker is %+v, not %+v", who, *c, *b))
	}
	if r, l := want.RateLimit, got.RateLimit; r != nil && l != nil && *r != *l {
		out = append(out, fmt.Sprintf("%s: rateLimit is %+v, not %+v", who, *l, *r))
	}
	return out
}

// filled returns g with the gateway's defaults in place of zeros.
func (g Guards) filled() Guards {
	if g.CircuitBreaker != nil {
		c := *g.CircuitBreaker
		c.CheckPeriod = cmp.Or(c.CheckPeriod, 100*time.Millisecond)
		c.Fallback = cmp.Or(c.Fallback, 10*time.Second)
		c.Recovery = cmp.Or(c.Recovery, 10*time.Second)
		c.ResponseCode = cmp.Or(c.ResponseCode, 503)
		g.CircuitBreaker = &c
	}
	if g.RateLimit != nil {
		r := *g.RateLimit
		r.Period = cmp.Or(r.Period, time.Second)
		r.Burst = cmp.Or(r.Burst, 1)
		g.RateLimit = &r
	}
	return g
}

// Serves returns what is observed of a gateway that serves t, if it names servers: no [Differences]. Its error is that
// of [Matcher.Text] or [Target.ValidateLanes].
func Serves(t Target) (Served, error) {
	route := func(weight share.Share) *RouteServed {
		return &RouteServed{
			Enabled: true, Weight: weight,
			Stable: slices.Sorted(slices.Values(t.Stable.Servers)), Canary: slices.Sorted(slices.Values(t.Canary.Servers)),
		}
	}
	limits := t.Guards.filled()
	s := Served{Main: route(t.Weight), Guards: t.Guards.Names(), Limits: &limits}
	s.Main.Sticky = t.Sticky
	if err := t.ValidateLanes(); err != nil {
		return Served{}, err
	}
	if m := t.Mirror; m != nil {
		s.Mirror = route(m.Share)
		s.Mirror.Match, s.Mirror.MaxBody = m.Text(), m.MaxBody()
	}
	if t.Preview != nil {
		s.Preview = route(1)
		s.Preview.Match, _ = t.Preview.Text() //nolint:errcheck // it is valid
	}
	if t.Cohort == nil {
		return s, nil
	}
	match, err := t.Cohort.Match.Text()
	if err != nil {
		return Served{}, err
	}
	s.Cohort = route(t.Cohort.Split)
	s.Cohort.Match, s.Cohort.Sticky = match, t.Cohort.Sticky
	return s, nil
}

func differRoute(what string, weight share.Share, t Target, s *RouteServed) []string {
	if s == nil {
		return []string{what + " is missing"}
	}
	out := broken(what, s)
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

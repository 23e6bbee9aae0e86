package traffic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/serindev/serin/share"
)

// weightTolerance only covers rounding of floats: whole numbers represent shares exactly, see [Weights].
const weightTolerance = 1e-6

// Confirmation says whether a target is known to be served. It is empty before the first observation.
type Confirmation string

// The confirmations, from the weakest to the strongest.
const (
	// NotServed means that nothing is written, or that a replica that answered serves something else.
	NotServed Confirmation = "not served"
	// Unconfirmed means that the target is written but no replica could be asked.
	Unconfirmed Confirmation = "unconfirmed"
	// InForce means that at least one replica answered, and all that did serve the target.
	InForce Confirmation = "in force"
)

// Confirm says whether t is served according to an observation. Replicas that do not answer do not count against it as
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

// Differences describes where the observation differs from the target. An empty list means that no difference was seen.
// Replicas that did not answer are not differences.
func Differences(t Target, o Observed) []string {
	out := Drift(t, o)
	for _, r := range o.Replicas {
		if r.Err == "" {
			out = append(out, differ(r.Name, t, r.Served)...)
		}
	}
	return out
}

// Drift describes where the written configuration differs from the target, whatever the replicas serve. After a successful
// write, any drift comes from an external writer.
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

// Finding is what an observation says about a written target.
type Finding int

// The findings.
const (
	// FoundWritten means that it is as it was written.
	FoundWritten Finding = iota
	// FoundUnreadable means that it cannot be read, so changes by others are not known.
	FoundUnreadable
	// FoundBroken means that it is as it was written but can no longer be served, for example because an arm has lost its
	// endpoints.
	FoundBroken
	// FoundChanged means that an external writer has changed it.
	FoundChanged
	// FoundNever means that it differs, and has never been seen as it was written.
	FoundNever
)

// Find classifies how the written configuration differs from the target, and describes the differences. They come from an
// external writer only if the configuration has been seen as written, which is what seen says.
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

// Broken lists the routes that are as written but cannot be served, with the reason, such as an arm without endpoints.
// [Drift] lists them as well.
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

// filled returns g with zeros replaced by the gateway's defaults.
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

// Serves returns what would be observed of a gateway that serves t and names its servers, so that there are no
// [Differences]. Its error is that of [Matcher.Text] or [Target.ValidateLanes].
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

// differServers reports nothing if either side does not name servers.
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

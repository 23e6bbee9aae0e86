package web

import (
	"fmt"
	"time"

	"github.com/serindev/serin/figures"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// Users says what a release that went back meant for users.
type Users struct {
	// StableAt is since when all traffic has been on stable; zero while that is not confirmed.
	StableAt time.Time
	// After is how long that was after What, which turned the release: "2s", "it was found worse".
	After, What string
	// Reached says how many requests the new version got; empty if that is not known.
	Reached string
}

// newUsers returns nil for a release that has not gone back, or whose traffic never moved.
func newUsers(v record.View, events []rollout.Event, scopes []Scope) *Users {
	at, after, what, went := tell.StableSince(v.State, events)
	if !went {
		return nil
	}
	return &Users{StableAt: at, After: after, What: what, Reached: reached(v, scopes)}
}

// whatNow tells the person on call whether anything has to be done.
func whatNow(v record.View, u *Users) string {
	switch {
	case !v.State.Ended() || v.State.Outcome == rollout.Released:
		return ""
	case len(v.Trouble) > 0:
		return "What now: look at what is wrong below."
	case u == nil:
		return "What now: nothing. No traffic had moved."
	case u.StableAt.IsZero():
		return "What now: check that the gateway serves stable; no replica has confirmed it."
	case v.State.FoundWorse():
		return "What now: nothing for your users; fix " + tell.Subject(v) + "."
	}
	return "What now: nothing for your users; retry once the reason is gone."
}

// reached says how many requests the canary got, as far as they were counted, and how many of them were bad.
func reached(v record.View, scopes []Scope) string {
	requests := 0.0
	for _, s := range scopes {
		if _, copies := v.Steps.Mirror(s.Name); !copies { // copies are not users' requests
			requests += s.requests
		}
	}
	verdict := v.LastVerdict()
	if requests == 0 && verdict != nil { // the split is not counted, but the metrics are
		for _, m := range verdict.Metrics {
			requests = max(requests, m.Canary.Total)
		}
	}
	if requests == 0 {
		return ""
	}
	out := fmt.Sprintf("About %s requests reached %s", figures.Grouped(requests), tell.Subject(v))
	if verdict == nil {
		return out + "."
	}
	for _, m := range verdict.Metrics {
		if m.Metric != verdict.Decisive || m.Kind == judge.Gauge || m.Kind == judge.Mean || m.Canary.Total == 0 {
			continue
		}
		words := "counted as " + m.Named()
		if m.Kind == judge.Histogram {
			words = "were above " + figures.Number(m.Bound) + " (" + m.Metric + ")"
		}
		if figures.Grouped(m.Canary.Total) == figures.Grouped(requests) {
			return out + fmt.Sprintf("; %s %s.", figures.Grouped(m.Canary.Bad), words)
		}
		return out + fmt.Sprintf("; %s of %s judged %s.", figures.Grouped(m.Canary.Bad), figures.Grouped(m.Canary.Total), words)
	}
	return out + "."
}

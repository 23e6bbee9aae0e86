package rollout

import (
	"fmt"
	"iter"
	"maps"
	"time"
)

// Returning is the shorter plan for a version that was in service recently.
type Returning struct {
	// Within is how long ago the version may have left service, Releases how many releases ago; 0 is without a limit. Both have
	// to hold.
	Within   time.Duration `json:"within,omitempty"`
	Releases int           `json:"releases,omitempty"`
	Steps    Steps         `json:"steps"`
	Scopes   []Scope       `json:"scopes,omitempty"`
}

// Past is what [Returning.Of] needs of an earlier release of the same rollout.
type Past struct {
	ID         string
	Parameters map[string]string
	Outcome    Outcome
	// Undoes is the release whose version this one took out of service; empty for an ordinary one.
	Undoes  string
	EndedAt time.Time
	// Worse: the last verdict was that it is worse, although it was released, either on a person's responsibility or
	// before its watch found that.
	Worse bool
}

// ForReturning is the definition with the steps for a version that returns in place of its own.
func (d *Definition) ForReturning() Definition {
	out := *d
	out.Steps, out.Scopes, out.Returning = d.Returning.Steps, d.Returning.Scopes, nil
	return out
}

// Of returns the release that last brought the version with these parameters into service; ok is false if it has not
// been in service recently enough, or may not return without the whole plan. past are the ended releases, the newest
// first; it reads no more of them than needed.
//
// The last word about a version counts: one that was found worse or undone, or that was tried again since and taken
// back, does not return, and neither does the version that is still in service.
func (r *Returning) Of(parameters map[string]string, past iter.Seq[Past], now time.Time) (id string, ok bool) {
	left := now // when the version in service at that time left service
	released, undone := 0, map[string]bool{}
	for p := range past {
		same := maps.Equal(p.Parameters, parameters)
		if p.Outcome != Released {
			if same && (p.Outcome == RolledBack || p.Outcome == Failed) {
				return "", false
			}
			continue
		}
		if !r.recent(released, now.Sub(left)) {
			return "", false
		}
		switch {
		case same && (released == 0 || undone[p.ID] || p.Worse):
			return "", false
		case same:
			return p.ID, true
		}
		if p.Undoes != "" {
			undone[p.Undoes] = true
		}
		released, left = released+1, p.EndedAt
	}
	return "", false
}

// recent reports whether a version that left service that many releases and that long ago may take the shorter plan.
func (r *Returning) recent(releases int, ago time.Duration) bool {
	return (r.Releases == 0 || releases <= r.Releases) && (r.Within == 0 || ago <= r.Within)
}

// checkReturning checks the shorter plan by the rules of any plan.
func (d *Definition) checkReturning() error {
	if d.Returning == nil {
		return nil
	}
	if d.Returning.Within <= 0 && d.Returning.Releases <= 0 {
		return fmt.Errorf("returning: neither a time nor a number of releases")
	}
	short := d.ForReturning()
	if err := short.Check(); err != nil {
		return fmt.Errorf("returning: %w", err)
	}
	return nil
}

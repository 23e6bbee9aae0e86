package rollout

import (
	"errors"
	"fmt"

	"github.com/serindev/serin/traffic"
)

// Preview gives the canary a route of its own, until the promotion, for people who try it before users do.
type Preview struct {
	still

	Name  string          `json:"name"`
	Route traffic.Preview `json:"route"`
}

// StepName implements [Step].
func (p Preview) StepName() string { return p.Name }

func (p Preview) check(c *checked) error {
	err := p.Route.Validate()
	if err == nil && c.promoted {
		err = errors.New("preview after promote: everybody has the version")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.at, err)
	}
	return nil
}

func (p Preview) enter(_ *Definition, e *StepEntered) { e.What = StagePreview }

func (p Preview) next(s State, d *Definition, t *timer) Event {
	if !s.InForce {
		return nil
	}
	return s.goOn(d, t)
}

func (p Preview) holds(s State, _ *Definition, _ *timer) []Hold {
	if s.InForce {
		return nil
	}
	return []Hold{NeedsForce{}}
}

// preview is the route that the canary has of its own now; nil for none.
func (s State) preview(d *Definition) *traffic.Preview {
	for i := min(s.Step, len(d.Steps)-1); i >= 0 && s.Previewed; i-- {
		if p, ok := d.Steps[i].(Preview); ok && (s.Pending == nil || s.Pending.Step != i) {
			return &p.Route
		}
	}
	return nil
}

func (Preview) goesBack(*Definition) bool { return true }

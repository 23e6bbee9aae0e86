package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// MayAnswer returns an error that says who may answer a gate unless this person may. Questions of policies may be answered
// by every operator, like gates without approvers.
func (d *Definition) MayAnswer(gate, user string, roles []string, startedBy string) error {
	g, ok := d.Gate(gate)
	if !ok {
		g = Gate{Name: gate}
	}
	if g.FourEyes && user == startedBy {
		return fmt.Errorf("gate %s needs a second pair of eyes: %s has started the release", gate, user)
	}
	if slices.Contains(roles, "admin") {
		return nil
	}
	may := d.Approvers(gate)
	if slices.Contains(may, user) || slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(may, r) }) {
		return nil
	}
	return fmt.Errorf("gate %s is answered by %s, not by %s", gate, strings.Join(may, " or "), user)
}

// MayOverride tells whether a person may let a release go on without waiting; the error says who may.
func (d *Definition) MayOverride(user string, roles []string, startedBy string) error {
	var o Override
	if d.Override != nil {
		o = *d.Override
	}
	if o.FourEyes && user == startedBy {
		return fmt.Errorf("going on without waiting needs a second pair of eyes: %s has started the release", user)
	}
	may := o.Approvers
	if len(may) == 0 {
		may = []string{"operator"}
	}
	if slices.Contains(roles, "admin") || slices.Contains(may, user) || slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(may, r) }) {
		return nil
	}
	return fmt.Errorf("%v may let a release go on without waiting, not %s", may, user)
}

// Approvers are the roles or users who may answer a gate or a policy's question: every operator where none is named.
func (d *Definition) Approvers(gate string) []string {
	if g, ok := d.Gate(gate); ok && len(g.Approvers) > 0 {
		return g.Approvers
	}
	return []string{"operator"}
}

// Gate finds a gate by name; ok is false if there is none.
func (d *Definition) Gate(name string) (g Gate, ok bool) {
	for _, s := range d.Steps {
		if g, ok := s.(Gate); ok && g.Name == name {
			return g, true
		}
	}
	return Gate{}, false
}

package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// MayAnswer returns an error that says who may answer a gate unless this person may. Questions of policies may be answered
// by every operator, like gates without approvers.
func (d *Definition) MayAnswer(gate, user string, roles []string, startedBy string) error {
	g, _ := d.Gate(gate)
	if g.FourEyes && user == startedBy {
		return fmt.Errorf("gate %s needs a second pair of eyes: %s has started the release", gate, user)
	}
	may := d.Approvers(gate)
	if among(may, user, roles) {
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
	may := orOperators(o.Approvers)
	if among(may, user, roles) {
		return nil
	}
	return fmt.Errorf("%v may let a release go on without waiting, not %s", may, user)
}

// Approvers are the roles or users who may answer a gate or a policy's question: every operator where none is named.
func (d *Definition) Approvers(gate string) []string {
	g, _ := d.Gate(gate)
	return orOperators(g.Approvers)
}

func orOperators(approvers []string) []string {
	if len(approvers) == 0 {
		return []string{"operator"}
	}
	return approvers
}

// among reports whether a person is one of those who may, by name or by a role. An admin always is.
func among(may []string, user string, roles []string) bool {
	return slices.Contains(may, user) || slices.ContainsFunc(roles, func(r string) bool { return r == "admin" || slices.Contains(may, r) })
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

package kubeobjects

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// ReadTimeout bounds the time that one observation spends on reading the cluster: what Traefik serves has to be known
// even while the API server accepts requests without answering.
const ReadTimeout = 5 * time.Second

// Weights are those of the arms in a route. An arm with weight 0 is left out: a gateway may fail to resolve a Service
// without endpoints, whatever its weight.
type Weights struct{ Canary, Stable int }

// Share is the canary's part.
func (w Weights) Share() share.Share { return traffic.ShareOf(w.Canary, w.Stable) }

// Split is a list of weighted references to Services in a route: the backendRefs of a rule of Gateway API's, or the
// services of a TCP route. If it leads to neither arm, it does not belong to the rollout.
type Split struct {
	Refs    []any // as they are
	Like    map[string]any
	Weights Weights
	// Others are the references that lead elsewhere. A release can have its share only of a list without others.
	Others []any
	// strangers are the Others that do not lead to the canary's Service: its other ports are still the canary.
	strangers []any
}

// SplitOf reads a list of references. leadsTo reports whether a reference leads to a Service, at any port if b names none.
func SplitOf(refs any, stable, canary traffic.Backend, leadsTo func(ref map[string]any, b traffic.Backend) bool) Split {
	var s Split
	s.Refs, _ = refs.([]any)
	for _, ref := range s.Refs {
		m, _ := ref.(map[string]any)
		weight := 1
		if n, ok := m["weight"].(float64); ok {
			weight = int(n)
		}
		switch {
		case leadsTo(m, stable):
			s.Like, s.Weights.Stable = like(m), s.Weights.Stable+weight
		case leadsTo(m, canary):
			s.Weights.Canary += weight
			if s.Like == nil {
				s.Like = like(m)
			}
		case leadsTo(m, traffic.Backend{Service: canary.Service}):
			s.Weights.Canary += weight
			s.Others = append(s.Others, ref)
		default:
			s.Others, s.strangers = append(s.Others, ref), append(s.strangers, ref)
		}
	}
	return s
}

// like is what a reference says in addition to name, port and weight; both arms get it.
func like(ref map[string]any) map[string]any {
	out := maps.Clone(ref)
	for _, field := range []string{"name", "port", "weight"} {
		delete(out, field)
	}
	return out
}

// Leads reports whether the list leads to one of the arms.
func (s *Split) Leads() bool { return s.Like != nil }

// Strangers names the other Services to which the list leads; empty for none.
func (s *Split) Strangers() string {
	var names []string
	for _, ref := range s.Others {
		m, _ := ref.(map[string]any)
		name, _ := m["name"].(string)
		names = append(names, name)
	}
	return strings.Join(names, " and ")
}

// With returns the patch operations that give the arms other weights in the list at a path; none if they have them.
// references makes the arms' references. If others have changed the list, their references stay, except for the canary
// at another port, and stable gets what both arms had.
func (s *Split) With(path string, w Weights, references func(like map[string]any, w Weights) []any) []Operation {
	if len(s.Others) > 0 {
		w = Weights{Stable: max(s.Weights.Stable+s.Weights.Canary, 1)}
	}
	refs := references(s.Like, w)
	if len(s.Others) > 0 {
		refs[0].(map[string]any)["weight"] = float64(w.Stable) //nolint:forcetypeassert // made by references
		refs = append(refs, s.strangers...)
	}
	if reflect.DeepEqual(refs, s.Refs) {
		return nil
	}
	return []Operation{Test(path, s.Refs), {Op: "replace", Path: path, Value: refs}}
}

// Disagreements says what is wrong with the list at a place, if w is what the rollout's other lists have.
func (s *Split) Disagreements(place string, w Weights) []string {
	var out []string
	if s.Weights.Share() != w.Share() {
		out = append(out, fmt.Sprintf("%s: canary's weight is %s, not %s as elsewhere", place, s.Weights.Share(), w.Share()))
	}
	if s.Weights == (Weights{}) {
		out = append(out, place+": neither arm has a weight")
	}
	return out
}

// Greatest returns the weights with the most for the canary.
func Greatest(all []Weights) Weights {
	var out Weights
	for _, w := range all {
		if out == (Weights{}) || w.Share() > out.Share() {
			out = w
		}
	}
	return out
}

// Claim is the annotation on a user's route that says whose weights are in it: a rollout's, in the lists that lead to
// stable's Service. Several rollouts may have lists of their own in one route.
type Claim struct{ Rollout, Service string }

const claimSuffix = ".rollout.serin.dev/stable"

// ClaimOf is the claim of a rollout with its routes in one namespace and its Services in the same or another.
func ClaimOf(rollout string, stable traffic.Backend, routes, arms string) Claim {
	service := stable.Service + ":" + stable.Port
	if arms != routes {
		service = arms + "/" + service
	}
	return Claim{Rollout: rollout, Service: service}
}

func (c Claim) name() string { return c.Rollout + claimSuffix }

// Make returns the patch operations that put the claim on a route; none if it has it.
func (c Claim) Make(o *Stored) []Operation { return Annotate(o, c.name(), c.Service) }

// Missing says that the claim is not on a route; empty if it is.
func (c Claim) Missing(k Key, o *Stored) string {
	if o.GetAnnotations()[c.name()] == c.Service {
		return ""
	}
	return fmt.Sprintf("%s: annotation %s is missing", k, c.name())
}

// Refused returns an error if another rollout has claimed the route. lists is what the error calls its lists.
func (c Claim) Refused(k Key, o *Stored, lists string) error {
	for name, theirs := range o.GetAnnotations() {
		if rollout, ok := strings.CutSuffix(name, claimSuffix); ok && name != c.name() && theirs == c.Service {
			return fmt.Errorf("%s: %w: rollout %s has the %s that lead to %s. If there is no such rollout any more, remove the annotation %s",
				k, ErrForeign, rollout, lists, c.Service, name)
		}
	}
	return nil
}

// Written reports whether Serin has written any of the objects for the rollout.
func (c Claim) Written(objects map[Key]*Stored) bool {
	for _, o := range objects {
		if o.Owned(c.Rollout) || o.GetAnnotations()[c.name()] != "" {
			return true
		}
	}
	return false
}

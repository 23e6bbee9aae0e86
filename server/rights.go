package server

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/serindev/serin/record"
)

// Verb is what a caller may do to a rollout and to its releases. Kubernetes knows the same words as verbs on
// rollouts.serin.dev.
type Verb string

// The verbs.
const (
	VerbGet      Verb = "get"      // see it, its releases and what was done to them
	VerbStart    Verb = "start"    // start a release, also one that supersedes another, and retry one
	VerbApprove  Verb = "approve"  // answer gates and questions, as far as the gate takes this person's answer
	VerbPause    Verb = "pause"    // pause and resume
	VerbPromote  Verb = "promote"  // go on without waiting, dismiss an alarm
	VerbRollback Verb = "rollback" // roll back, cancel, undo
)

// Rights decide what their owner may do to rollouts, in place of Serin's own roles.
type Rights interface {
	// May reports whether the owner may do something to a rollout, under the name that the API uses. An empty name stands
	// for every possible rollout and for the daemon as a whole. It is called for each rollout of a list,
	// so it has to cache its answers for a while. An error means that it cannot be determined now; nothing is allowed then.
	May(ctx context.Context, verb Verb, rolloutName string) (bool, error)
}

// Authenticator verifies tokens that Serin has not issued.
type Authenticator interface {
	// Verify returns the owner of a token. It is called at every request, so it has to cache its answers for a while. The
	// error is [ErrUnknownToken] for an invalid token; any other means that it cannot be determined now.
	Verify(ctx context.Context, token string) (Identity, error)
	// Genuine tells, at next to no cost, whether nobody but the owner can have come by a token: it was valid before, or it is
	// signed. A token that is not may be valid all the same. Those that are not genuine are braked, so that strangers
	// cannot make Verify ask for each of their guesses; genuine ones never wait for them.
	Genuine(ctx context.Context, token string) bool
}

// Identity is the person or program that makes a request.
type Identity struct {
	Name string `json:"name"`
	// Roles hold for every rollout and for the daemon as a whole. Where Rights decide, they are groups that a gate may
	// name as its approvers.
	Roles []string `json:"roles"`
	// Bound are roles that hold for some rollouts only.
	Bound []Grant `json:"bound,omitempty"`
	// Rights decide in place of the roles; nil for an identity of Serin's own.
	Rights Rights `json:"-"`
}

// Grant is roles on the rollouts of certain names.
type Grant struct {
	Roles []string `json:"roles"`
	// Rollouts are patterns of whole names, as [path.Match] takes them: * stands for any characters but a slash.
	Rollouts []string `json:"rollouts"`
}

// covers reports whether a grant holds for a rollout.
func (g Grant) covers(rolloutName string) bool {
	return slices.ContainsFunc(g.Rollouts, func(pattern string) bool {
		ok, err := path.Match(pattern, rolloutName)
		return ok && err == nil
	})
}

// check refuses a grant that holds for nothing.
func (g Grant) check() error {
	if len(g.Rollouts) == 0 {
		return fmt.Errorf("rollouts names none: expected names such as shop or shop-*")
	}
	for _, pattern := range g.Rollouts {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("rollouts: %q is no name: expected one such as shop or shop-*, where * matches any characters except a slash", pattern)
		}
	}
	return nil
}

// NewGrant makes a grant of roles on rollouts; the error says what is wrong with the patterns.
func NewGrant(roles, rollouts []string) (Grant, error) {
	g := Grant{Roles: slices.Clone(roles), Rollouts: slices.Clone(rollouts)}
	return g, g.check()
}

// RolesOn returns the roles that an identity has on a rollout; with an empty name, those that hold everywhere.
func (i Identity) RolesOn(rolloutName string) []string {
	roles := slices.Clone(i.Roles)
	for _, g := range i.Bound {
		if rolloutName != "" && g.covers(rolloutName) {
			roles = append(roles, g.Roles...)
		}
	}
	return roles
}

// May reports whether an identity may do something to a rollout; an empty name stands for all of them and for the daemon
// as a whole. Whether a gate takes an answer is a further question: see [Identity.Approver].
func (i Identity) May(ctx context.Context, verb Verb, rolloutName string) (bool, error) {
	if i.Rights != nil {
		ok, err := i.Rights.May(ctx, verb, rolloutName)
		return ok && err == nil, err
	}
	roles := i.RolesOn(rolloutName)
	if slices.Contains(roles, RoleAdmin) || slices.Contains(roles, RoleOperator) {
		return true, nil
	}
	// Any other role is one that a gate may name, as it may name a person: the gate decides.
	reads := slices.ContainsFunc(roles, func(r string) bool { return r != RoleJudge })
	return reads && (verb == VerbGet || verb == VerbApprove), nil
}

// Same reports whether two identities are the same person with the same roles. Rights are not compared: they may change
// at any time, and are consulted each time.
func (i Identity) Same(other Identity) bool {
	return i.Name == other.Name && slices.Equal(i.Roles, other.Roles) && slices.EqualFunc(i.Bound, other.Bound, func(a, b Grant) bool {
		return slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Rollouts, b.Rollouts)
	})
}

// Reads reports whether an identity may read anything at all.
func (i Identity) Reads() bool {
	if i.Rights != nil {
		return true // of each rollout it is asked
	}
	return slices.ContainsFunc(append([]Grant{{Roles: i.Roles}}, i.Bound...), func(g Grant) bool {
		return slices.ContainsFunc(g.Roles, func(r string) bool { return r != RoleJudge })
	})
}

// Approver returns the name and roles by which a definition knows an identity, for [rollout.Definition.MayAnswer] (with [VerbApprove]) and
// [rollout.Definition.MayOverride] (with [VerbPromote]). Where Rights decide, an
// identity that has the verb counts as an operator, and no group makes it more than that.
func (i Identity) Approver(ctx context.Context, verb Verb, rolloutName string) (name string, roles []string, err error) {
	if i.Rights == nil {
		return i.Name, i.RolesOn(rolloutName), nil
	}
	roles = slices.DeleteFunc(slices.Clone(i.Roles), func(r string) bool { return slices.Contains(ownRoles, r) })
	ok, err := i.May(ctx, verb, rolloutName)
	if ok {
		roles = append(roles, RoleOperator)
	}
	return i.Name, roles, err
}

// may returns an error unless the caller may do something to a rollout: record.ErrNotFound where the caller may not even
// know that it is there.
func may(ctx context.Context, verb Verb, rolloutName string) error {
	return mayOr(ctx, verb, rolloutName, fmt.Errorf("rollout %s: %w", rolloutName, record.ErrNotFound))
}

// mayOr returns unseen where the caller, who may see other rollouts, may not see this one.
func mayOr(ctx context.Context, verb Verb, rolloutName string, unseen error) error {
	who := identity(ctx)
	if ok, err := who.May(ctx, verb, rolloutName); ok || err != nil {
		return err
	}
	switch ok, err := who.May(ctx, VerbGet, rolloutName); {
	case err != nil:
		return err
	case !ok && who.Reads():
		return unseen
	}
	return forbidden(who, verb, rolloutName)
}

// forbidden says what the caller lacks.
func forbidden(who Identity, verb Verb, rolloutName string) error {
	on := ""
	if rolloutName != "" && (who.Rights != nil || len(who.Bound) > 0) {
		on = " on " + rolloutName
	}
	if who.Rights != nil {
		return &ForbiddenError{Why: fmt.Sprintf("%s may not %s rollouts.serin.dev%s", who.Name, verb, on)}
	}
	role := RoleOperator
	if verb == VerbGet {
		role = RoleViewer
		if rolloutName == "" && len(who.Bound) > 0 {
			on = " on all rollouts"
		}
	}
	return &ForbiddenError{Why: who.Name + " needs the role " + role + on + " for this"}
}

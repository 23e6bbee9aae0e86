package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
)

// The defaults of a rollout.
const (
	defaultHold             = 10 * time.Minute
	defaultDecideLeast      = 30 * time.Minute // A/B only
	defaultDecideMost       = 24 * time.Hour
	defaultWithin           = 30 * time.Minute // or the least time that the steps take, if that is longer
	defaultInconclusive     = rollout.PolicyGate
	defaultPatience         = 10 * time.Minute // noData and unreachable, then hold
	defaultBlind            = time.Hour        // no metric at all can be queried, and unreachable does not say: roll back
	defaultDrain            = 30 * time.Second
	defaultRollbackDeadline = 15 * time.Minute
	defaultVerify           = time.Minute
	defaultWebhook          = time.Minute
)

// stickyTolerance is how far the split may be off if users keep their arm: a few users send many requests, so the share
// wanders more than with a gateway's rotation.
const stickyTolerance = share.Share(0.25)

// grayScope is the scope of evidence that all gray steps share; each A/B step has its own.
const grayScope = "gray"

// planner makes the plan of one rollout.
type planner struct {
	checker
	loader  Loader
	spec    *RolloutSpec
	cluster bool // the arms are Deployments
	sight
	plan record.Plan
	// declared holds the plan's analyses without what only the daemon knows; the revision is computed from them.
	declared, declaredReturning map[string]analysis.Definition
}

// makePlan fills in every default and resolves every reference. seen are the analyses that may be named; the built-in
// one is always there. There is no plan if there are errors.
func makePlan(p *parsed, seen *sight, l Loader) (plan record.Plan, errs, warnings Errors) {
	spec := p.rollout.Spec.complete()
	m := &planner{checker: checker{document: p.document}, loader: l, spec: &spec, sight: *seen,
		declared: map[string]analysis.Definition{}}
	m.plan = record.Plan{Rollout: rollout.Definition{Name: p.name, KeepCohort: m.spec.KeepCohort}, Analyses: map[string]analysis.Definition{}}
	_, m.cluster = m.spec.Traffic.cluster()
	m.steps()
	m.scopes()
	m.returning()
	m.rest()
	m.workloads()
	m.returningDeploys()
	m.gateway()
	m.about()
	if len(m.errs) == 0 && !p.flawed {
		if err := m.plan.Rollout.Check(); err != nil {
			m.fail(m.at("spec"), "%s", err)
		}
	}
	if len(m.errs) > 0 {
		return record.Plan{}, m.errs.sorted(), m.warnings.sorted()
	}
	m.plan.Rollout.Revision = m.revision()
	m.absolute()
	return m.plan, nil, m.warnings.sorted()
}

// revision is a hash of the plan before paths are made absolute. It does not depend on comments, the order of keys, the
// notation of values, or other documents such as the daemon's: validate prints the same on every machine.
func (m *planner) revision() string {
	h := sha256.New()
	e := json.NewEncoder(h)
	plan := m.plan
	plan.Analyses, plan.Returning = m.declared, m.declaredReturning
	if err := e.Encode(plan); err != nil {
		m.fail(m.at(), "cannot be encoded: %s", err) // a bug of ours: every plan can be encoded
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// absolutePath makes a path absolute; relative ones are relative to the folder of the document.
func (m *planner) absolutePath(path string) string { return fromFolderOf(m.src.name, path) }

func fromFolderOf(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	abs, err := filepath.Abs(filepath.Join(filepath.Dir(file), path))
	if err != nil {
		return path
	}
	return abs
}

// rest fills in everything but steps and analyses.
func (m *planner) rest() {
	d := &m.plan.Rollout
	for _, p := range m.spec.Parameters {
		d.Parameters = append(d.Parameters,
			rollout.Parameter{Name: string(p.Name), Required: p.Required, Default: p.Default, Pattern: string(p.Pattern)})
	}
	d.Stable, d.Canary = m.spec.Stable.toBackend(), m.spec.Canary.toBackend()
	d.Guards = m.spec.Guards.toTraffic()
	if o := m.spec.Override; o != nil {
		d.Override = &rollout.Override{Approvers: o.Approvers, FourEyes: o.FourEyes}
	}
	d.Calendar = calendarOf(m.spec.Windows, m.spec.Freezes)
	var v VerifySpec
	if g := m.spec.Traffic.gateway(); g != nil {
		v = or(g.confirmed(), VerifySpec{})
	}
	d.Verify = rollout.Verify{For: long(v.For, defaultVerify), Trust: v.Unconfirmed == "trust" || v.Unconfirmed == "" && len(v.API) == 0}
	r := or(m.spec.Rollback, RollbackSpec{})
	d.Rollback = rollout.Rollback{Drain: long(r.Drain, defaultDrain), Deadline: long(r.Deadline, defaultRollbackDeadline)}
	for i := range r.Steps {
		step := &r.Steps[i]
		name := func(own Name) string {
			if own == "" {
				return fmt.Sprintf("rollback-%d", i+1)
			}
			return string(own)
		}
		at := m.checker.spec("rollback", "steps", i)
		switch {
		case step.Webhook != nil:
			d.Rollback.Steps = append(d.Rollback.Steps, step.Webhook.step(m, at.in("webhook"), name(step.Webhook.Name)))
		case step.Job != nil:
			d.Rollback.Steps = append(d.Rollback.Steps, step.Job.step(m, at.in("job"), name(step.Job.Name)))
		}
	}
}

func (a *ArmSpec) toBackend() traffic.Backend {
	var out traffic.Backend
	for _, s := range a.Servers {
		out.Servers = append(out.Servers, string(s))
	}
	if a.Service != nil {
		out.Service, out.Port = string(a.Service.Name), string(a.Service.Port)
	}
	return out
}

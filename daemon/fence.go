package daemon

import (
	"context"

	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// mandate says when this daemon may act: nil for one that is alone.
type mandate interface {
	// Leads is nil while no other daemon can have begun to act.
	Leads() error
}

// fence lets an engine change anything only while this daemon leads: one that was frozen for longer than its lease must
// not undo what another has done since. The store has its own fence ([store.WithLeave]).
//
// It is closed by default. The types below embed nothing: a method added to an interface has to be written here before
// anything compiles, which forces the decision what it may do without leave.
func fence(o *engine.Options, m mandate) {
	newRouter, call := o.NewRouter, o.Call
	o.NewRouter = func(name string, g record.Gateway) (engine.Router, error) {
		r, err := newRouter(name, g)
		if err != nil {
			return nil, err
		}
		return fencedRouter{r, m}, nil
	}
	o.Call = func(ctx context.Context, c engine.Call) error {
		if m.Leads() != nil {
			<-ctx.Done() // no answer: the daemon ends in a moment, and an error would be a "no" of the webhook's
			return ctx.Err()
		}
		return call(ctx, c)
	}
	if o.Workloads != nil {
		o.Workloads = fencedWorkloads{o.Workloads, m}
	}
}

// fencedRouter always permits reads, and writes only while this daemon leads.
type fencedRouter struct {
	router  engine.Router
	mandate mandate
}

// Apply implements [engine.Router].
func (r fencedRouter) Apply(ctx context.Context, t traffic.Target) error {
	if err := r.mandate.Leads(); err != nil {
		return err
	}
	return r.router.Apply(ctx, t)
}

// Observe implements [engine.Router].
func (r fencedRouter) Observe(ctx context.Context) (traffic.Observed, error) {
	return r.router.Observe(ctx)
}

// Labels implements [engine.Router].
func (r fencedRouter) Labels(on traffic.Lane) (canary, stable string) { return r.router.Labels(on) }

// Watched implements [engine.Router].
func (r fencedRouter) Watched() bool { return r.router.Watched() }

// fencedWorkloads always permits reads, and everything else only while this daemon leads.
type fencedWorkloads struct {
	workloads engine.Workloads
	mandate   mandate
}

// Apply implements [engine.Workloads].
func (w fencedWorkloads) Apply(ctx context.Context, t workload.Target) (workload.Observed, error) {
	if err := w.mandate.Leads(); err != nil {
		return workload.Observed{}, err
	}
	return w.workloads.Apply(ctx, t)
}

// Run implements [engine.Workloads].
func (w fencedWorkloads) Run(ctx context.Context, j workload.Job) (workload.Status, error) {
	if err := w.mandate.Leads(); err != nil {
		return workload.Status{}, err
	}
	return w.workloads.Run(ctx, j)
}

// Version implements [engine.Workloads].
func (w fencedWorkloads) Version(ctx context.Context, d workload.Name) (string, error) {
	return w.workloads.Version(ctx, d)
}

// Template implements [engine.Workloads]. It writes: a template that nobody has seen is marked as seen.
func (w fencedWorkloads) Template(ctx context.Context, d workload.Name) (workload.Template, error) {
	if err := w.mandate.Leads(); err != nil {
		return workload.Template{}, err
	}
	return w.workloads.Template(ctx, d)
}

// Seen implements [engine.Workloads].
func (w fencedWorkloads) Seen(ctx context.Context, d workload.Name, hash string) error {
	if err := w.mandate.Leads(); err != nil {
		return err
	}
	return w.workloads.Seen(ctx, d, hash)
}

// Tell implements [engine.Workloads].
func (w fencedWorkloads) Tell(ctx context.Context, release string, deployments []workload.Name, n workload.Notice) {
	if w.mandate.Leads() == nil {
		w.workloads.Tell(ctx, release, deployments, n)
	}
}

// Watch implements [engine.Workloads].
func (w fencedWorkloads) Watch(ctx context.Context, changed func([]workload.Name)) {
	w.workloads.Watch(ctx, changed)
}

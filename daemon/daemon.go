// Package daemon is Serin's daemon: it wires the packages of the shell together, runs them alongside each other, and
// stops them. The command starts one, and tests embed one.
//
// It decides nothing. Of several daemons with one store, one acts and the others stand by, see package leader. Start
// reading at [New].
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	rungroup "github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/leader"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/store"
)

//go:generate go test -run ^TestTheReference -update .

// Options configures a daemon.
type Options struct {
	Spec *config.DaemonSpec
	// Advertise is the name or address at which the other daemons reach this one, if there are several.
	Advertise string
	// Version of this program, for people.
	Version string
	Log     *slog.Logger
}

// Daemon is one daemon: alone, or one of several of which one acts.
type Daemon struct {
	o         Options
	candidate *leader.Candidate // nil for one that is alone

	mu     sync.Mutex // guards what follows
	acting *acting    // nil while it stands by
}

// clientGoLog sends client-go's log to the daemon's. There is one such setting in the whole process.
var clientGoLog sync.Once

// New makes a daemon. A single one opens everything that it needs, including its store and its listeners, so that a
// faulty start fails at once with the reason and leaves nothing behind; one of several does so when it becomes the
// leader.
func New(ctx context.Context, o Options) (*Daemon, error) {
	clientGoLog.Do(func() { klog.SetSlogLogger(o.Log) })
	d := &Daemon{o: o}
	if o.Spec.Leader == nil {
		return d, d.open(ctx, nil)
	}
	var err error
	d.candidate, err = newCandidate(o)
	return d, err
}

// Run runs until ctx ends, and closes the daemon. One of several daemons stands by until it leads; losing the lease is
// an error, after which the process manager starts it again.
func (d *Daemon) Run(ctx context.Context) error {
	act := func(ctx context.Context) error { return d.acting.run(ctx, d.o.Log) }
	if d.candidate == nil {
		return errors.Join(act(ctx), d.Close())
	}
	err := d.candidate.Run(ctx,
		func(ctx context.Context) error { return standBy(ctx, d.o, d.candidate) },
		func(ctx context.Context) error {
			if err := d.open(ctx, d.candidate); err != nil {
				return err
			}
			return act(ctx)
		})
	return errors.Join(err, d.Close())
}

// Close releases what is open. It does nothing the second time, or after [Daemon.Run].
func (d *Daemon) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.acting == nil {
		return nil
	}
	err := d.acting.close()
	d.acting = nil
	return err
}

// Address returns where the API and the pages are served; nil while this daemon does not act.
func (d *Daemon) Address() net.Addr { return d.address(func(a *acting) net.Addr { return a.api }) }

// SpinnakerAddress returns where Kayenta's API is served; nil if it is not, or while this daemon does not act.
func (d *Daemon) SpinnakerAddress() net.Addr {
	return d.address(func(a *acting) net.Addr { return a.spinnaker })
}

func (d *Daemon) address(of func(*acting) net.Addr) net.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.acting == nil {
		return nil
	}
	return of(d.acting)
}

// open opens everything that acting needs, or nothing.
func (d *Daemon) open(ctx context.Context, m mandate) error {
	a := &acting{}
	if err := a.open(ctx, d.o, m); err != nil {
		return errors.Join(err, a.close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acting = a
	return nil
}

// acting is what an acting daemon has open and runs.
type acting struct {
	components     []func(context.Context) error
	closers        []io.Closer // in the order of opening
	api, spinnaker net.Addr
}

// close undoes what open has done, in reverse order. Listeners in use have been closed already.
func (a *acting) close() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	a.closers = nil
	return errors.Join(errs...)
}

// open makes the components. After an error, closers holds what has been opened.
func (a *acting) open(ctx context.Context, o Options, m mandate) error {
	spec, log, registry := o.Spec, o.Log, newRegistry(true)
	s, err := openStore(ctx, spec, m)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, s)
	source, err := newMetrics(o, s, registry)
	if err != nil {
		return err
	}
	k, err := newCluster(o)
	if err != nil {
		return err
	}
	objects, err := newResources(o, m)
	if err != nil {
		return err
	}
	e := newEngine(o, s, source, k, objects, m, registry)
	ns, err := newNamespaces(o)
	if err != nil {
		return err
	}
	notifier, err := newNotifier(spec, e, s, ns, log, registry)
	if err != nil {
		return err
	}
	watcher := config.NewWatcher(NewLoader(0).For(spec), log, publish(e, objects, log, registry), spec.Config...)
	if objects != nil {
		watcher.With(objects)
		a.components = append(a.components, objects.Run, objects.reporter(e, s, k))
	}
	api, err := newAPI(o, showArms(asShown(e, objects), k), s, problems(watcher, ns), ready(watcher), registry)
	if err != nil {
		return err
	}
	listener, err := server.Listen(ctx, listenConfig(spec))
	if err != nil {
		return err
	}
	a.closers, a.api = append(a.closers, listener), listener.Addr()
	a.components = append(a.components, source.run...)
	a.components = append(a.components, e.Run, watcher.Run, notifier.Run, func(ctx context.Context) error { return api.Run(ctx, listener) })
	err = errors.Join(a.openAdmission(ctx, spec, watcher, log), a.openSpinnaker(ctx, spec, s, source.prometheus, log, registry))
	if err == nil {
		log.Info("serin runs", "version", o.Version, "address", listener.Addr().String(), "config", []string(spec.Config))
	}
	return err
}

// run runs the components concurrently: the first that ends stops the others.
func (a *acting) run(ctx context.Context, log *slog.Logger) error {
	var group rungroup.Group
	for _, component := range a.components {
		ctx, cancel := context.WithCancel(ctx)
		group.Add(func() error { return component(ctx) }, func(error) { cancel() })
	}
	if err := group.Run(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("serin has stopped; releases go on when it is started again")
	return nil
}

// openStore opens the store; a daemon that may not act cannot write to it.
func openStore(ctx context.Context, spec *config.DaemonSpec, m mandate) (*store.Store, error) {
	url, err := spec.StoreURL()
	if err != nil {
		return nil, err
	}
	if m == nil {
		return store.Open(ctx, url.Reveal())
	}
	return store.Open(ctx, url.Reveal(), store.WithLeave(m.Leads))
}

func listenConfig(spec *config.DaemonSpec) server.ListenConfig {
	c := server.ListenConfig{Address: string(spec.Listen), AllowInsecure: spec.AllowInsecure, Proxies: spec.Proxies()}
	if spec.TLS != nil {
		c.Cert, c.Key = spec.TLS.Cert, spec.TLS.Key
	}
	return c
}

func ready(w *config.Watcher) func() error {
	return func() error {
		if w.Current() == nil {
			return errors.New("the configuration has not been read yet")
		}
		return nil
	}
}

// publish passes each new configuration to the engine and counts its errors.
func publish(e *engine.Engine, objects *resources, log *slog.Logger, r prometheus.Registerer) func(*config.Set) {
	wrong := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "serin", Name: "config_errors", Help: "What is wrong in the configuration now."})
	read := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "serin", Name: "config_read_timestamp_seconds", Help: "When the configuration was last taken over.",
	})
	r.MustRegister(wrong, read)
	return func(set *config.Set) {
		wrong.Set(float64(len(set.Errors)))
		read.SetToCurrentTime()
		plans := set.Plans()
		e.SetPlans(plans)
		if objects != nil {
			objects.loaded(set)
		}
		log.Info("configuration taken over", "rollouts", len(plans), "errors", len(set.Errors))
	}
}

// problems returns the configuration's errors as the API shows them.
func problems(w *config.Watcher, ns *namespaces) func() []server.ConfigProblem {
	return func() (out []server.ConfigProblem) {
		set := w.Current()
		if set == nil {
			return nil
		}
		for _, e := range set.Errors {
			_, source, _ := strings.Cut(e.Error(), "\n") // the line, with a mark under the position
			out = append(out, server.ConfigProblem{
				File: e.File, Line: e.Line, Column: e.Column, Path: e.Path, Text: e.Message, Source: source, Rollouts: outdated(set, e.File),
			})
		}
		return append(out, ns.problems()...)
	}
}

// outdated returns the rollouts of which an older version is in use because of an error in a file: those declared
// there, or, for a file that declares none, all outdated ones.
func outdated(set *config.Set, file string) []string {
	var here, all []string
	declares := false
	for _, r := range set.Rollouts {
		declares = declares || r.File == file
		if !r.Outdated {
			continue
		}
		all = append(all, r.Plan.Rollout.Name)
		if r.File == file {
			here = append(here, r.Plan.Rollout.Name)
		}
	}
	if declares {
		return here
	}
	return all
}

// openTokens reads the configured tokens. If there are none, the daemon creates a first one where commands on the same
// machine find it: see [FirstToken].
func openTokens(spec *config.DaemonSpec, log *slog.Logger) (*server.Tokens, error) {
	if spec.Auth != nil && spec.Auth.Tokens != "" {
		return server.OpenTokens(spec.Auth.Tokens, log)
	}
	first := FirstToken(spec)
	tokens, err := server.FirstToken(first)
	if err != nil {
		return nil, fmt.Errorf("make a first token: %w", err)
	}
	log.Info("no tokens are configured: an admin's is in a file", "file", first)
	return tokens, nil
}

// FirstToken is the file in which a daemon without configured tokens leaves its first one: next to its store, or in the
// current folder if the store is not a file.
func FirstToken(spec *config.DaemonSpec) string {
	const name = "serin.token"
	if url, err := spec.StoreURL(); err == nil {
		if path, ok := strings.CutPrefix(url.Reveal(), "sqlite:"); ok {
			return filepath.Join(filepath.Dir(path), name)
		}
	}
	return name
}

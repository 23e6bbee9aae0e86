// Package traefikfile answers the question how to bring the traffic of one rollout to a target with Traefik's file provider,
// and what each Traefik serves.
//
// It owns one file for each rollout: it writes the file as a whole or not at all, refuses one with foreign entries, and
// reverts external changes. It keeps no state: everything is read from the file and from Traefik's API each time. It does
// not decide what the traffic should be. Start at [Router]; layout.go has the names and the content.
package traefikfile

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefikapi"
)

// defaultTimeout bounds all requests to one replica: an answer takes a few milliseconds, and a rollback must not wait
// for a replica slower than this.
const defaultTimeout = 2 * time.Second

// Config is what a [Router] needs to know about its rollout and Traefik.
type Config struct {
	// Rollout is the name from which all names in Traefik are derived. It never changes.
	Rollout string
	// File is the path of the file that Serin owns, .yaml or .yml, in a folder that Traefik watches. Temporary files are
	// made in the folder .serin next to it.
	File  string
	Route traffic.Route
	// FurtherRoutes are more routes of the rollout, each to one of its servers' ports. All move together.
	FurtherRoutes []traffic.PortRoute
	// TCP makes the route one for TCP, which divides connections by weight and does nothing else.
	TCP bool
	// Sets say how Traefik talks to each set of servers, whatever its role, and where it reaches them at further ports. A
	// set that is not listed gets Traefik's defaults and has one port.
	Sets []traffic.ServerSet
	// Replicas are the APIs to ask whether a target is in force. There may be none.
	Replicas []Replica
	// Client sends these requests. Nil means a client of the router's own. Redirects are never followed.
	Client *http.Client
	// Timeout bounds all requests to one replica. 0 means 2 s.
	Timeout time.Duration
}

// Replica is the API of one Traefik.
type Replica = traefikapi.Replica

// Router routes the traffic of one rollout. It is safe for concurrent use. Two routers for one file would undo each other's
// work.
type Router struct {
	config Config
	api    *traefikapi.Client

	writing sync.Mutex // held from reading the file until it is written
}

// New returns a router. It changes nothing. Its error is that of [Config.Validate].
func New(c Config) (*Router, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return &Router{config: c, api: traefikapi.NewClient(c.Client)}, nil
}

// Apply writes t unless it is already written. It returns once the change is durable, not once Traefik serves it. After an
// error the file is the old one or the new one, never a part.
//
// It returns [ErrForeign], and leaves the file alone, if the file has foreign entries. But these must not keep users on a
// worse version: if t has all traffic on stable, the file is written, and the foreign entries stay as they are.
func (r *Router) Apply(ctx context.Context, t traffic.Target) error {
	l, err := layoutOf(&r.config, t)
	if err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	want := l.render(&r.config)
	data, err := encode(r.config.Rollout, want)
	if err != nil {
		return fmt.Errorf("traffic of %s: %w", r.config.Rollout, err)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	old, err := read(r.config.File, r.config.Rollout)
	if err != nil {
		return err
	}
	if old != nil && old.broken == "" && len(traefikapi.CompareAll(want, old.config, true)) == 0 {
		return nil
	}
	if old != nil && old.others != nil {
		if t.Weight > 0 || t.Cohort != nil || t.Mirror != nil || t.Preview != nil {
			return fmt.Errorf("%s: %w", r.config.File, old.others)
		}
		if data, err = r.around(data, old); err != nil {
			return fmt.Errorf("%s: %w; Serin's part cannot be written separately: %w", r.config.File, old.others, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %s: %w", r.config.File, err)
	}
	return write(r.config.File, data)
}

// around merges Serin's new file with the foreign entries of the old one. If Traefik would refuse the result as a whole, it
// does not serve these entries now either: they are left out, and the old file is kept next to the temporary ones.
func (r *Router) around(ours []byte, old *content) ([]byte, error) {
	both, err := withOthers(ours, old.text, r.config.Rollout)
	if err != nil {
		return nil, err
	}
	if _, err := decode(both); err == nil {
		return both, nil
	}
	temp := filepath.Join(filepath.Dir(r.config.File), tempFolder)
	if err := makeTemp(temp); err != nil {
		return nil, err
	}
	kept := filepath.Join(temp, filepath.Base(r.config.File)+".refused")
	if err := os.WriteFile(kept, old.text, 0o600); err != nil {
		return nil, fmt.Errorf("keep the file that Traefik refuses: %w", err)
	}
	return ours, nil
}

// Observe reads the file and asks all replicas at once. Replicas that do not answer are listed with the reason. It returns an
// error only if the file could not be read and no replica answered.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o := traffic.Observed{}
	if len(r.config.Replicas) > 0 {
		o.Replicas = make([]traffic.Replica, len(r.config.Replicas))
	}
	var asked sync.WaitGroup
	for i, replica := range r.config.Replicas {
		asked.Go(func() { o.Replicas[i] = r.ask(ctx, replica) })
	}
	configured, err := r.configured()
	if err != nil {
		o.Unreadable = err.Error()
	}
	o.Configured = configured
	asked.Wait()
	if err := ctx.Err(); err != nil {
		return traffic.Observed{}, fmt.Errorf("observe the traffic of %s: %w", r.config.Rollout, err)
	}
	if configured != nil {
		err = nil // Serin's part could be read
	}
	return traefikapi.Answered(r.config.Rollout, o, err)
}

// configured returns what the file says, or nil if it is empty. If the file has foreign entries, it returns both Serin's part
// and an error.
func (r *Router) configured() (*traffic.Configured, error) {
	c, err := read(r.config.File, r.config.Rollout)
	if err != nil || c == nil {
		return nil, err
	}
	if c.others != nil {
		err = fmt.Errorf("%s: %w", r.config.File, c.others)
	}
	if c.broken != "" {
		return &traffic.Configured{Digest: c.digest, Foreign: []string{r.config.File + ": " + c.broken}}, err
	}
	l := infer(&r.config, c.config)
	return &traffic.Configured{
		Digest: c.digest, Foreign: traefikapi.Texts(traefikapi.CompareAll(l.render(&r.config), c.config, true)),
		Served: l.served(&r.config, c.config),
	}, err
}

// Labels returns the values of Traefik's service label for the arms on a lane, one for each port, separated by commas. For the
// preview's lane, stable is the main lane's. They are empty for TCP, because Traefik does not count connections by service.
func (r *Router) Labels(on traffic.Lane) (canary, stable string) {
	if r.config.TCP {
		return "", ""
	}
	var canaries, stables []string
	for port := range r.config.ports() {
		name := serviceName(r.config.Rollout, on, port)
		if on == traffic.PreviewLane {
			canaries, name = append(canaries, name+provider), serviceName(r.config.Rollout, traffic.MainLane, port)
		} else {
			canaries = append(canaries, name+canarySuffix+provider)
		}
		stables = append(stables, name+stableSuffix+provider)
	}
	return strings.Join(canaries, ","), strings.Join(stables, ",")
}

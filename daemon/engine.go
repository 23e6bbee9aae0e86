package daemon

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/judge/choice"
	"github.com/serindev/serin/notify"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/store"
	"github.com/serindev/serin/traffic/traefikapi"
	"github.com/serindev/serin/traffic/traefikfile"
	"github.com/serindev/serin/workload/kube"
)

// router adapts Traefik's file provider to the engine.
type router struct{ *traefikfile.Router }

var _ engine.Router = router{}

// Watched implements engine.Router: nobody watches the file.
func (r router) Watched() bool { return false }

// routers makes routers from the gateway part of plans. c is nil without Kubernetes.
func routers(c *cluster) func(name string, g record.Gateway) (engine.Router, error) {
	return func(name string, g record.Gateway) (engine.Router, error) {
		if g.Split != nil {
			return c.splitter(g.Split)
		}
		if g.Cluster != nil || g.Routes != nil || g.TCP != nil {
			return c.router(name, &g)
		}
		return newFileRouter(name, &g)
	}
}

func newFileRouter(name string, g *record.Gateway) (engine.Router, error) {
	c := traefikfile.Config{Rollout: name, File: g.File, Route: g.Route, FurtherRoutes: g.FurtherRoutes, TCP: g.Connections, Sets: g.Sets}
	for _, r := range g.Replicas {
		replica := traefikfile.Replica{URL: r.URL, User: r.User}
		if r.PasswordFile != "" {
			replica.Password = traefikapi.SecretFile(r.PasswordFile)
		}
		c.Replicas = append(c.Replicas, replica)
	}
	r, err := traefikfile.New(c)
	if err != nil {
		return nil, err
	}
	return router{r}, nil
}

// newJudge makes the judge that watches releases.
func newJudge(s judge.Settings) (judge.Judge, error) { return choice.New(s) }

// caller calls webhooks, with the release's parameters filled in.
type caller struct{ *notify.Caller }

func (c caller) call(ctx context.Context, call engine.Call) error {
	values := map[string]string{
		"rollout": call.Release.Rollout, "release": call.Release.ID, "revision": call.Release.Revision, "step": call.Webhook.Name,
		"version": rollout.Version(call.State.Parameters), "reason": call.State.Why,
	}
	maps.Copy(values, call.State.Parameters)
	w, err := substituted(call.Webhook, values)
	if err != nil {
		return err
	}
	return c.Call(ctx, call.Key, w, notify.Message{
		Rollout: call.Release.Rollout, Release: call.Release.ID, Revision: call.Release.Revision, Step: w.Name,
		Phase: call.State.Phase, Why: call.State.Why, Parameters: call.State.Parameters,
	})
}

// substituted fills in the release's parameters. What a webhook leaves out stays empty.
func substituted(w rollout.Webhook, parameters map[string]string) (rollout.Webhook, error) {
	for _, part := range []struct {
		name string
		text *string
		fill func(string, map[string]string) (string, error)
	}{
		{"url", &w.URL, config.SubstituteURL},
		{"status", &w.Status, config.SubstituteURL},
		{"body", &w.Body, config.SubstituteJSON},
	} {
		if *part.text == "" {
			continue
		}
		filled, err := part.fill(*part.text, parameters)
		if err != nil {
			return w, fmt.Errorf("webhook %s: %s: %w", w.Name, part.name, err)
		}
		*part.text = filled
	}
	return w, nil
}

// NewLoader returns a loader with the checks that only Traefik's own parsers can make.
func NewLoader(settle time.Duration) config.Loader {
	return config.Loader{
		Settle: settle,
		Rule:   traefikapi.CheckRule, RuleTCP: traefikapi.CheckRuleTCP,
		Guards: traefikapi.ValidateGuards,
		Job:    kube.JobManifest, Template: kube.TemplateManifest,
	}
}

// newEngine wires the engine to the other packages. Without a mandate this daemon is alone and always acts. k and
// objects are nil without Kubernetes, and without custom resources.
func newEngine(o Options, s *store.Store, source metrics, k *cluster, objects *resources, m mandate, r prometheus.Registerer) *engine.Engine {
	eo := engine.Options{
		Store: s, Source: source, Behind: source.frame.Behind, NewRouter: routers(k), NewJudge: newJudge,
		Call: caller{notify.NewCaller(o.Log)}.call, Log: o.Log, Registerer: r,
		Retention: retention(o.Spec), House: o.Spec.Calendar(),
	}
	if k != nil {
		eo.Workloads, eo.WatchGateways = k, k.watchRoutes
	}
	if objects != nil {
		eo.Notice = objects.Tell
	}
	if m != nil {
		fence(&eo, m)
	}
	return engine.New(eo)
}

// retention is how long looks are kept; package config has filled in the default value.
func retention(spec *config.DaemonSpec) time.Duration {
	if spec.Retention == nil || spec.Retention.Evidence == nil {
		return 0
	}
	return time.Duration(*spec.Retention.Evidence)
}

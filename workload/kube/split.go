package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/serindev/serin/share"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
)

// splitAnnotation, on stable's workload, says that it has given a part of its pods away, and how many both arms have
// together: see given.
const splitAnnotation = "serin.dev/split"

// given is what stable has given to the canary. It is written in one patch with stable's replicas.
type given struct {
	Weight share.Share `json:"weight"`
	// Total is how many pods both arms have together; 0 while an autoscaler decides how many stable has.
	Total int64 `json:"total,omitempty"`
}

// givenBy is what a workload has given away; the zero value for nothing. What cannot be read counts as nothing, so that the
// actual replicas count.
func givenBy(stable *unstructured.Unstructured) (g given) {
	if text := stable.GetAnnotations()[splitAnnotation]; text != "" && json.Unmarshal([]byte(text), &g) != nil {
		return given{}
	}
	return g
}

// total is how many pods both arms have together.
func total(stable *unstructured.Unstructured, split workload.Split) int64 {
	switch g := givenBy(stable); {
	case split.Total > 0:
		return int64(split.Total)
	case g.Total > 0:
		return g.Total
	}
	return replicas(stable)
}

// divided is how many pods the canary has of both arms' together.
func divided(r *workload.Replicas, w *world) (*int64, error) {
	if w.scaling.on {
		return nil, refused("an autoscaler scales it, and its pods are its part of the work: let the autoscaler have stable alone")
	}
	if w.ofScaled && replicas(w.of) == 0 {
		return new(int64), nil // there is no work, and the canary follows
	}
	n, err := canarysPart(w.of, w.ofScaled, *r.Split, r.Share)
	if err != nil {
		return nil, refused(fmt.Sprintf("a part of the pods of %s: %s", r.Of.Name, err))
	}
	return &n, nil
}

// canarysPart is how many pods the canary needs for a weight.
func canarysPart(stable *unstructured.Unstructured, scaled bool, split workload.Split, weight share.Share) (int64, error) {
	if scaled {
		return split.Alongside(replicas(stable), weight)
	}
	_, n, err := split.Divide(total(stable, split), weight)
	return n, err
}

// Splitter divides the work of one rollout between its arms by their pods, where no route does: it takes as many pods from
// stable as the canary has gained, and gives them back. [Cluster.Apply] gives the canary its pods first, so that none are
// missing in between; the way back needs nothing else. What stable had is kept in an annotation on stable's workload.
//
// Stable's replicas are left alone where an autoscaler has them; the canary's then follow them.
type Splitter struct {
	c     *Cluster
	arms  workload.Arms
	split workload.Split

	mu   sync.Mutex
	last traffic.Target // that was written
}

// Splitter makes the splitter of a rollout.
func (c *Cluster) Splitter(arms workload.Arms, split workload.Split) *Splitter {
	return &Splitter{c: c, arms: arms, split: split}
}

// Labels are the names of the arms' workloads.
func (s *Splitter) Labels(traffic.Lane) (canary, stable string) {
	return s.arms.Canary.Deployment.Name, s.arms.Stable.Deployment.Name
}

// Watched is false: nothing reports changes of the replicas to the router.
func (s *Splitter) Watched() bool { return false }

// Apply gives the canary its part of the work, or takes it away. It is idempotent, and returns once it is written. At weight
// 0 stable gets its pods back first; the canary then loses its own even if stable could not be written.
func (s *Splitter) Apply(ctx context.Context, t traffic.Target) error {
	if t.Cohort != nil || t.Mirror != nil || t.Preview != nil || t.Sticky != "" || len(t.Guards.Names()) > 0 {
		return errors.New("the work is divided by pods, which know no users and no requests: no cohort, no copies, " +
			"no preview, nothing sticky, and no guards")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.give(ctx, t.Weight)
	if t.Weight == 0 && !t.Out {
		err = errors.Join(err, s.empty(ctx))
	}
	if err == nil {
		s.last = t
	}
	return err
}

// give scales stable to what it keeps at a weight.
func (s *Splitter) give(ctx context.Context, weight share.Share) error {
	name := s.arms.Stable.Deployment
	scaled, err := s.c.autoscaled(ctx, name)
	if err != nil {
		return err
	}
	did, there := "", false
	err = s.c.rewrite(ctx, name, func(o *unstructured.Unstructured) ([]operation, error) {
		did, there = "", true
		var out []operation
		now, want := givenBy(o), given{Weight: weight}
		if !scaled && (weight > 0 || now.Total > 0 || s.split.Total > 0) {
			n := total(o, s.split)
			keeps, canary, err := s.split.Divide(n, weight)
			if err != nil {
				return nil, err
			}
			if want.Total = n; replicas(o) != keeps {
				out = append(out, operation{"add", "/spec/replicas", keeps})
			}
			did = fmt.Sprintf("%d of %d pods work for the canary (%s) at %s", canary, keeps+canary,
				workload.Rounded(workload.Served(keeps, canary)), weight)
		}
		_, noted := o.GetAnnotations()[splitAnnotation]
		switch text, err := json.Marshal(want); {
		case err != nil:
			return nil, err
		case weight == 0 && noted:
			out = append(out, unannotate(splitAnnotation)...)
		case weight > 0 && (!noted || now != want):
			out = append(out, annotate(o, map[string]string{splitAnnotation: string(text)})...)
		}
		if len(out) == 0 {
			did = ""
		}
		return out, nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("divide the work: %w", err)
	case !there:
		return fmt.Errorf("divide the work: there is no %s %s", name.KindOrDeployment(), name)
	case did != "":
		s.c.log.Info("work divided", "stable", name.String(), "did", did)
	}
	return nil
}

// empty takes all pods from the canary.
func (s *Splitter) empty(ctx context.Context) error {
	return s.c.rewrite(ctx, s.arms.Canary.Deployment, func(o *unstructured.Unstructured) ([]operation, error) {
		if replicas(o) == 0 {
			return nil, nil
		}
		return []operation{{"add", "/spec/replicas", 0}}, nil
	})
}

// Observe says which pods there are and which of them are ready. The API server is asked again for what has changed since it
// was last asked, or may have; what a watch reports as unchanged is not asked for.
func (s *Splitter) Observe(ctx context.Context) (traffic.Observed, error) {
	s.mu.Lock()
	out := s.last.Weight == 0 && s.last.Out
	s.mu.Unlock()
	stable, err := s.c.current(ctx, s.arms.Stable.Deployment)
	if err != nil {
		return traffic.Observed{}, err
	}
	canary, err := s.c.current(ctx, s.arms.Canary.Deployment)
	if err != nil {
		return traffic.Observed{}, err
	}
	if stable == nil {
		return traffic.Observed{Unreadable: fmt.Sprintf("there is no %s %s",
			s.arms.Stable.Deployment.KindOrDeployment(), s.arms.Stable.Deployment)}, nil
	}
	scaled, err := s.c.autoscaled(ctx, s.arms.Stable.Deployment)
	if err != nil {
		return traffic.Observed{}, err
	}
	v := division{stable: stable, canary: canary, scaled: scaled, split: s.split, free: out}
	return v.observed(), nil
}

// division is how the pods are divided now.
type division struct {
	stable, canary *unstructured.Unstructured // canary is nil if it is not there
	scaled         bool                       // an autoscaler has stable
	split          workload.Split
	free           bool // the canary may have any number of pods, while they are being prepared
}

// observed compares what is written, and what is ready, with what was given.
func (v *division) observed() traffic.Observed {
	g := givenBy(v.stable)
	keeps, part, problem := v.wanted(g)
	written := &traffic.Configured{Served: traffic.Served{Main: &traffic.RouteServed{Enabled: true, Weight: g.Weight}}}
	if now := replicas(v.stable); now != keeps {
		written.Foreign = append(written.Foreign,
			fmt.Sprintf("replicas of %s are %d, not %d, by %s", v.stable.GetName(), now, keeps, lastManager(v.stable)))
	}
	has := int64(0)
	if v.canary != nil {
		has = replicas(v.canary)
	}
	if g.Weight == 0 && has > 0 && !v.free {
		written.Foreign = append(written.Foreign, fmt.Sprintf("replicas of %s are %d, not 0, by %s", v.canary.GetName(), has, lastManager(v.canary)))
	}
	written.Digest = hash([]any{g, replicas(v.stable), has})
	stable, canary := readyOf(v.stable), readyOf(v.canary)
	served := traffic.RouteServed{Enabled: true, Weight: g.Weight}
	switch {
	case problem != "":
	case !settled(v.stable) || v.canary != nil && !v.free && !settled(v.canary):
		problem = "the controller has not seen the change yet"
	case stable < keeps:
		problem = fmt.Sprintf("%d of %d pods of %s are ready", stable, keeps, v.stable.GetName())
	case stable > keeps:
		problem = fmt.Sprintf("%d pods of %s are ready, and it is to have %d", stable, v.stable.GetName(), keeps)
	case g.Weight > 0 && canary < part:
		problem = fmt.Sprintf("%d of %d pods of the canary are ready", canary, part)
	case g.Weight == 0 && !v.free && podsOfStatus(v.canary) > 0:
		problem = fmt.Sprintf("%d pods of the canary have not ended yet", podsOfStatus(v.canary))
	}
	if problem != "" {
		served = traffic.RouteServed{Problem: problem, Weight: workload.Rounded(workload.Served(stable, canary))}
	}
	return traffic.Observed{Configured: written, Replicas: []traffic.Replica{{
		Name:   fmt.Sprintf("pods (%d ready of stable, %d of the canary)", stable, canary),
		Served: traffic.Served{Main: &served},
	}}}
}

// wanted is how many pods each arm is to have for what stable has given away, or why that cannot be said.
func (v *division) wanted(g given) (keeps, canary int64, problem string) {
	keeps = replicas(v.stable)
	if !v.scaled && (g.Total > 0 || v.split.Total > 0) {
		n, part, err := v.split.Divide(total(v.stable, v.split), g.Weight)
		if err != nil {
			return keeps, 0, err.Error()
		}
		return n, part, ""
	}
	if g.Weight == 0 {
		return keeps, 0, ""
	}
	part, err := canarysPart(v.stable, v.scaled, v.split, g.Weight)
	if err != nil {
		return keeps, 0, err.Error()
	}
	return keeps, part, ""
}

// settled: its controller has seen its specification.
func settled(o *unstructured.Unstructured) bool {
	if o == nil {
		return false
	}
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	return seen >= o.GetGeneration()
}

func readyOf(o *unstructured.Unstructured) int64 { return statusNumber(o, "readyReplicas") }

func podsOfStatus(o *unstructured.Unstructured) int64 { return statusNumber(o, "replicas") }

func statusNumber(o *unstructured.Unstructured, field string) int64 {
	if o == nil {
		return 0
	}
	n, _, _ := unstructured.NestedInt64(o.Object, "status", field)
	return n
}

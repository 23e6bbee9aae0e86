package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serindev/serin/workload"
)

// tries is how often one write is decided again because another writer was faster: the controller itself updates the status
// several times after each change. The caller tries again anyway.
const tries = 10

// again waits a little before the next try.
func again(ctx context.Context, try int) {
	select {
	case <-ctx.Done(): // the next request reports it
	case <-time.After(time.Duration(try) * 20 * time.Millisecond):
	}
}

// Apply brings the cluster as close to t as it can now, without waiting, and says how far each Deployment of t has come. It
// is idempotent. A Deployment that can never get there (it lacks a container, or stable's Service would take the canary's
// pods) has failed. An error means that the cluster could not be asked, or refused; it names verb, kind and object, and the
// other Deployments were applied nevertheless.
//
// Jobs that are to stop are suspended; see [Cluster.Run].
//
// Whether a Deployment is ready or has failed is read from the API server itself, not from the cache.
func (c *Cluster) Apply(ctx context.Context, t workload.Target) (workload.Observed, error) {
	var out workload.Observed
	var errs []error
	c.ask(&t)
	if t.Copied && t.Release != "" {
		errs = append(errs, c.remake(ctx, &t))
	}
	tracked := c.track(ctx, &t)
	errs = append(errs, tracked)
	last := t.Hold && goesBack(&t) // the traffic may wait for stable's Deployment, and must not for an autoscaler
	if !last {
		errs = append(errs, c.scaleAs(ctx, &t, &out))
	}
	for i := range t.Deployments {
		d := &t.Deployments[i]
		bring := c.bring
		if d.Copy != nil {
			bring = c.bringCopy
		}
		if tracked != nil && d.From != nil { // the copy must not get ConfigMaps that may change
			out.Deployments = append(out.Deployments, workload.Status{Name: d.Name, Phase: workload.Progressing, Why: tracked.Error()})
			continue
		}
		s, err := bring(ctx, &t, d)
		if err == nil && d.Name == t.Arms.Canary.Deployment && !leaves(d) {
			err = c.makeService(ctx, &t)
		}
		if err != nil {
			errs = append(errs, err)
			s = workload.Status{Name: d.Name, Phase: workload.Progressing, Why: err.Error()}
		}
		out.Deployments = append(out.Deployments, s)
	}
	if last {
		errs = append(errs, c.scaleAs(ctx, &t, &out))
	}
	if keepsOld(&t) {
		out.Notes = append(out.Notes, c.budgetsInTheWay(ctx, t.Arms)...)
	}
	for _, j := range t.Stop {
		errs = append(errs, c.stopJob(ctx, j))
	}
	if t.Forget {
		errs = append(errs, c.forget(ctx, &t))
	}
	return out, errors.Join(errs...)
}

// ask records whose changes matter.
func (c *Cluster) ask(t *workload.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range []workload.Name{t.Arms.Stable.Deployment, t.Arms.Canary.Deployment} {
		if n.Name != "" { // an arm may have no Deployment
			c.asked[n] = true
		}
	}
	for _, d := range t.Deployments {
		c.asked[d.Name] = true
	}
}

// goesBack reports whether Deployments are to be as before the release.
func goesBack(t *workload.Target) bool {
	return slices.ContainsFunc(t.Deployments, func(d workload.Deployment) bool { return d.Before })
}

// keepsOld reports whether the version before is to have pods after a release has ended.
func keepsOld(t *workload.Target) bool {
	return t.Release == "" && slices.ContainsFunc(t.Deployments, func(d workload.Deployment) bool { return d.Previous != "" })
}

// leaves reports whether it is to have no pods, or to be as before the release.
func leaves(d *workload.Deployment) bool {
	return d.Before || d.Replicas != nil && d.Replicas.Of == nil && d.Replicas.Count == 0
}

// bring applies one Deployment. It decides from the cache; before it writes, or says that a Deployment is ready or has
// failed, it decides again from the API server.
func (c *Cluster) bring(ctx context.Context, t *workload.Target, d *workload.Deployment) (workload.Status, error) {
	s := workload.Status{Name: d.Name, Phase: workload.Failed, Why: d.Unfilled}
	if d.Unfilled != "" {
		return s, nil
	}
	live := false
	for try := range tries {
		w, err := c.world(ctx, t, d, live)
		if err != nil {
			return s, err
		}
		c.see(t.Release, d.Name, w)
		p, err := decide(t, d, w)
		var never refused
		switch {
		case err != nil && !errors.As(err, &never):
			return s, err
		case err == nil && p.empty():
			if s.Phase, s.Why, s.Ready, err = c.status(ctx, t, d, w); err != nil {
				return s, err
			}
			s.Why = c.madeAgain(d.Name, s.Phase, s.Why)
			if s.Phase == workload.Progressing {
				s.Why = strings.TrimSuffix(s.Why+"; "+c.stale(d.Name.Namespace), "; ")
			}
			if s.Phase == workload.Progressing || live || c.isConfirmed(d.Name, w) {
				c.confirm(d.Name, w, live)
				return failed(s, c.nowInService(ctx, t, d, w, s.Phase))
			}
			live = true
			continue
		case !live:
			live = true
			continue
		case err != nil:
			s.Phase, s.Why = workload.Failed, never.Error()
			return s, nil
		}
		c.pause(ctx, w, &p)
		err = c.write(ctx, t, d, w, &p)
		switch {
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
			again(ctx, try) // another writer was faster
			continue
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			s.Phase, s.Why = workload.Failed, err.Error()
			return s, nil
		case err != nil:
			return failed(s, err)
		}
		s.Changed = append(s.Changed, p.changed...)
		if p.create != nil {
			s.Changed = append(s.Changed, c.deleted(t, d)...)
		}
	}
	return s, fmt.Errorf("patch %s %s: another writer changed it at every attempt between reading and writing it", d.Name.KindOrDeployment(), d.Name)
}

// see records that a Deployment existed during a release.
func (c *Cluster) see(release string, n workload.Name, w *world) {
	if w.object == nil || release == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there[n] = release
}

const wasDeleted = "it was deleted by another writer"

// deleted says so if a Deployment that was just made had existed earlier in this release.
func (c *Cluster) deleted(t *workload.Target, d *workload.Deployment) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !d.IfMissing && (t.Release == "" || c.there[d.Name] != t.Release) {
		return nil
	}
	c.remade[d.Name] = true
	return []string{wasDeleted + ", and is made again"}
}

// madeAgain adds to why that a Deployment was deleted and made again, until it is ready.
func (c *Cluster) madeAgain(n workload.Name, phase workload.Phase, why string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.remade[n]:
		return why
	case phase == workload.Ready:
		delete(c.remade, n)
		return why
	}
	return wasDeleted + ", and was made again: " + why
}

// world reads what a decision about d needs; if live, from the API server itself.
func (c *Cluster) world(ctx context.Context, t *workload.Target, d *workload.Deployment, live bool) (*world, error) {
	w := &world{}
	arms := t.Arms
	kinds := []string{ResourceOf(d.Name.Kind).Resource, pods, autoscalers}
	if d.Name.Kind != workload.StatefulSet {
		kinds = append(kinds, replicaSets)
	}
	if err := c.fill(ctx, d.Name.Namespace, kinds...); err != nil {
		return nil, err
	}
	isCanary := d.Name == arms.Canary.Deployment
	stable := &arms.Stable.Deployment
	if d.Create != nil {
		stable = d.Create
	} else if !isCanary {
		stable = nil
	}
	var of *workload.Name
	if d.Replicas != nil {
		of = d.Replicas.Of
	}
	// What is written to is read last: the less lies between reading and writing it, the less often another writer, such as
	// the controller with its status, is faster.
	read := map[workload.Name]*unstructured.Unstructured{}
	for _, one := range []struct {
		to   **unstructured.Unstructured
		name *workload.Name
	}{{&w.from, d.From}, {&w.of, of}, {&w.stable, stable}, {&w.object, &d.Name}} {
		if one.name == nil || one.name.Name == "" {
			continue
		}
		o, there := read[*one.name]
		if !there || one.to == &w.object {
			var err error
			if o, err = c.deployment(ctx, *one.name, live); err != nil {
				return nil, err
			}
			read[*one.name] = o
		}
		*one.to = o
	}
	var err error
	if isCanary {
		if w.stableService, err = c.service(ctx, arms.Stable); err != nil {
			return nil, err
		}
		if w.canaryService, err = c.service(ctx, arms.Canary); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	w.same = c.same[d.Name]
	c.mu.Unlock()
	if w.scaling, err = c.scalingOf(ctx, d.Name); err == nil && of != nil {
		w.ofScaled, err = c.autoscaled(ctx, *of)
	}
	return w, err
}

// deployment is a Deployment or StatefulSet, nil if it is not there.
func (c *Cluster) deployment(ctx context.Context, n workload.Name, live bool) (*unstructured.Unstructured, error) {
	if !live {
		o, _, err := known[*unstructured.Unstructured](ctx, c, ResourceOf(n.Kind).Resource, n)
		return o, err
	}
	o, err := c.dynamic.Resource(ResourceOf(n.Kind)).Namespace(n.Namespace).Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s %s: %w", n.KindOrDeployment(), n, err)
	}
	return o, nil
}

// current is a Deployment or StatefulSet as the API server itself has returned it, nil if it is not there. It is taken from
// the cache only if its watch works, and has what the API server returned last.
func (c *Cluster) current(ctx context.Context, n workload.Name) (*unstructured.Unstructured, error) {
	o, err := c.deployment(ctx, n, false)
	if err == nil && c.isConfirmed(n, &world{object: o}) && c.stale(n.Namespace) == "" {
		return o, nil
	}
	if o, err = c.deployment(ctx, n, true); err == nil {
		c.confirm(n, &world{object: o}, true)
	}
	return o, err
}

func (c *Cluster) service(ctx context.Context, a workload.Arm) (*corev1.Service, error) {
	if a.Service == "" {
		return nil, nil
	}
	s, _, err := known[*corev1.Service](ctx, c, services, workload.Name{Namespace: a.Deployment.Namespace, Name: a.Service})
	return s, err
}

func (c *Cluster) autoscaled(ctx context.Context, n workload.Name) (bool, error) {
	list, err := c.scalersOf(ctx, n)
	return len(list) > 0, err
}

// isConfirmed reports whether the API server itself has returned this version.
func (c *Cluster) isConfirmed(n workload.Name, w *world) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.object != nil && c.confirmed[n] == w.object.GetResourceVersion()
}

func (c *Cluster) confirm(n workload.Name, w *world, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if live && w.object != nil {
		c.confirmed[n] = w.object.GetResourceVersion()
	}
}

// status says how far a Deployment that was written as d asks has come.
func (c *Cluster) status(ctx context.Context, t *workload.Target, d *workload.Deployment, w *world) (workload.Phase, string, []time.Time, error) {
	if w.object == nil {
		return workload.Ready, "", nil, nil // decide has found nothing to do
	}
	if d.Watch {
		if w.from == nil {
			return workload.Failed, "there is no " + d.From.KindOrDeployment() + " " + d.From.String() + " to become equal to", nil, nil
		}
		want, err := equal(d, w)
		if err != nil || versionHash(want) != versionHash(template(w.object)) {
			return workload.Progressing, waiting(w, err), nil, nil
		}
	}
	phase, why, ready, err := c.podsOf(ctx, w.object)
	if err != nil {
		return "", "", nil, err
	}
	if d.Before {
		m, err := remembered(w.object, t.Release)
		if err != nil || m.Release == "" {
			return workload.Ready, "", nil, nil // nothing was changed
		}
		if d.Name != t.Arms.Stable.Deployment && replicas(w.object) > 0 && settled(w.object) {
			return workload.Ready, "", nil, nil // it may have been unhealthy before, and nothing waits for it
		}
	}
	return phase, why, ready, nil
}

// equal is the pod template that a watched Deployment has to get.
func equal(d *workload.Deployment, w *world) (map[string]any, error) {
	if d.Whole {
		return withLabels(unpinned(template(w.from)), podLabels(template(w.object))), nil
	}
	return imagesOf(template(w.object), w.from)
}

// waiting says what has yet to become equal.
func waiting(w *world, err error) string {
	if err != nil {
		return err.Error()
	}
	return "waiting for an external change that brings it to " + difference(template(w.object), template(w.from))
}

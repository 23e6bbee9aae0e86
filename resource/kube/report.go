package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/workload"
)

const (
	// writeGap is the least time between two statuses of one object.
	writeGap = time.Second
	// underWay is how often a rollout with a release is checked without an event: trouble that comes and goes causes none.
	underWay = 5 * time.Second
	// againAfter is how long to wait before repeating a refused write.
	againAfter = 5 * time.Second
	// soon is how soon to check again a rollout that the engine has not loaded yet.
	soon = 200 * time.Millisecond
	// awaitEvery is how often to check whether a status was written, while a caller waits for it.
	awaitEvery = 10 * time.Millisecond
	// reporters is how many objects are reported at the same time.
	reporters = 4
	// reportTimeout bounds the work for one object.
	reportTimeout = 30 * time.Second
)

// Engine is what runs releases.
type Engine interface {
	// Rollout is the view of one rollout; record.ErrNotFound if it is not there.
	Rollout(name string) (record.View, error)
	// Act gives an event to a release and returns the state after it.
	Act(ctx context.Context, id string, event rollout.Event, by string) (rollout.State, error)
	// Subscribe returns what happens from now on until ctx ends; the channel is closed earlier for a reader that is too slow.
	Subscribe(ctx context.Context) <-chan record.Update
}

// Sources is what statuses are made of.
type Sources struct {
	Engine Engine
	// Past returns the newest releases of a rollout, newest first, including the one under way.
	Past func(ctx context.Context, rollout string) ([]record.Past, error)
	// Images returns the images of a Deployment from the cache; the zero value if it is not there.
	Images func(ctx context.Context, deployment workload.Name) resource.Images
}

// Loaded is the outcome of reading one object.
type Loaded struct {
	// Generation that was read last.
	Generation int64
	// Problems are its faults.
	Problems []resource.Problem
}

// ID names an object.
type ID struct{ Kind, Namespace, Name string }

// Loaded receives the outcome of reading all objects. Those whose outcome has changed are checked.
func (c *Cluster) Loaded(all map[ID]Loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.loaded
	c.loaded = make(map[key]Loaded, len(all))
	for id, l := range all {
		k := key(id)
		c.loaded[k] = l
		if was, known := before[k]; !known || was.Generation != l.Generation || !slices.Equal(was.Problems, l.Problems) {
			c.queue.Add(k)
		}
	}
}

// all queues every object again.
func (c *Cluster) all() {
	for _, f := range c.feeds {
		for _, o := range f.Objects().List() {
			if u, ok := o.(*unstructured.Unstructured); ok {
				c.queue.Add(keyOf(f.kind, u))
			}
		}
	}
}

// Report keeps statuses up to date until ctx is done.
func (c *Cluster) Report(ctx context.Context, s Sources) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer c.queue.ShutDown()
	running.Go(func() { c.follow(ctx, s.Engine) })
	for range reporters {
		running.Go(func() {
			for {
				k, over := c.queue.Get()
				if over {
					return
				}
				c.report(ctx, s, k)
				c.queue.Done(k)
			}
		})
	}
	<-ctx.Done()
	return nil
}

// follow queues the rollouts to which something happens.
func (c *Cluster) follow(ctx context.Context, e Engine) {
	for ctx.Err() == nil {
		updates := e.Subscribe(ctx)
		c.all() // to catch up on missed updates
		for u := range updates {
			if namespace, name, ok := strings.Cut(u.Rollout, "."); ok {
				c.queue.Add(key{Rollout, namespace, name})
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(writeGap):
		}
	}
}

// written is the last written status.
type written struct {
	uid    types.UID
	at     time.Time
	status resource.Status
}

// report brings one object up to date, and schedules its next check.
func (c *Cluster) report(ctx context.Context, s Sources, k key) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	var again time.Duration
	err := c.leads()
	switch {
	case err != nil:
		again, err = againAfter, nil // another daemon does it, or this one soon will again
	case k.Kind == Analysis:
		again, err = c.reportAnalysis(ctx, k)
	default:
		again, err = c.reportRollout(ctx, s, k)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("the status of an object cannot be written yet", "object", k.String(), "err", err)
		again = againAfter
	}
	if again > 0 {
		c.queue.AddAfter(k, again)
	}
}

func (c *Cluster) reportRollout(ctx context.Context, s Sources, k key) (again time.Duration, err error) {
	view, err := s.Engine.Rollout(k.rollout())
	known := err == nil
	if err != nil && !errors.Is(err, record.ErrNotFound) {
		return 0, err
	}
	u := c.object(k)
	if u == nil {
		c.forget(k)
		if end, ok := resource.Deleted(&view); known && c.watched(k) && ok {
			return underWay, c.end(ctx, s, &view, end)
		}
		return 0, nil
	}
	loaded, read := c.loadedOf(k)
	going := u.GetDeletionTimestamp() != nil
	if !read && !going || !known && len(loaded.Problems) == 0 && !going {
		return soon, nil // it is still being loaded
	}
	if end, ok := resource.Deleted(&view); going && known && ok {
		if err := c.end(ctx, s, &view, end); err != nil {
			return 0, err
		}
	}
	before, at := c.before(k, u)
	if wait := writeGap - time.Since(at); wait > 0 && (!known || shows(before, &view)) {
		return wait, nil
	}
	past, err := s.Past(ctx, k.rollout())
	if err != nil {
		return 0, err
	}
	if err := c.hold(ctx, u, known && resource.Under(&view) || slices.ContainsFunc(past, running)); err != nil {
		return 0, err
	}
	in := resource.In{Generation: loaded.Generation, Problems: loaded.Problems, Past: past, Before: before, Now: time.Now()}
	if !read {
		in.Generation = before.ObservedGeneration
	}
	if known {
		in.View = &view
		in.Stable, in.Canary = images(ctx, s, &view)
		if resource.Under(&view) {
			again = underWay
		}
	}
	return again, c.write(ctx, k, u, before, resource.Of(in))
}

// shows reports whether a status is about the release of a view. If not, it is replaced at once, since it may say
// Released about the previous release.
func shows(s resource.Status, v *record.View) bool {
	return v.Release == nil || s.Release != nil && s.Release.ID == v.Release.ID
}

// AwaitRelease returns once the status of a rollout's object is about a release, or ctx ends, or there is no such object.
func (c *Cluster) AwaitRelease(ctx context.Context, rolloutName, release string) {
	namespace, name, ok := strings.Cut(rolloutName, ".")
	k := key{Rollout, namespace, name}
	if !ok || c.object(k) == nil {
		return
	}
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		c.mu.Lock()
		status := c.written[k].status
		c.mu.Unlock()
		if status.Release != nil && status.Release.ID == release {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forget drops the state of an object that is gone.
func (c *Cluster) forget(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.written, k)
}

// running reports whether a release has not ended.
func running(p record.Past) bool { return p.Phase != rollout.PhaseEnded }

func images(ctx context.Context, s Sources, v *record.View) (stable, canary resource.Images) {
	if v.Definition == nil || v.Definition.Cluster == nil {
		return stable, canary
	}
	arms := v.Definition.Cluster.Arms
	return s.Images(ctx, arms.Stable.Deployment), s.Images(ctx, arms.Canary.Deployment)
}

// end ends a release whose object is deleted or being deleted; usually all traffic then goes to stable.
func (c *Cluster) end(ctx context.Context, s Sources, v *record.View, by rollout.Event) error {
	_, err := s.Engine.Act(ctx, v.Release.ID, by, manager)
	var later *record.NotWrittenError
	if errors.As(err, &later) || errors.Is(err, rollout.ErrNotAllowed) { // it is rolling back already, or can no longer go back
		return nil
	}
	return err
}

func (c *Cluster) loadedOf(k key) (Loaded, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.loaded[k]
	return l, ok
}

// before returns the status of an object, and when this process wrote it: the watch may not have reported that write yet.
func (c *Cluster) before(k key, u *unstructured.Unstructured) (s resource.Status, at time.Time) {
	c.mu.Lock()
	w, ok := c.written[k]
	c.mu.Unlock()
	if ok && w.uid == u.GetUID() {
		at = w.at
		if time.Since(w.at) < underWay {
			return w.status, at
		}
	}
	decode(u, &s)
	return s, at
}

// decode reads the status of an object. Anything there that is not a status of ours reads as the zero value.
func decode[T any](u *unstructured.Unstructured, into *T) {
	b, err := json.Marshal(u.Object["status"])
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		var nothing T
		*into = nothing
	}
}

// write writes a status if it has changed.
func (c *Cluster) write(ctx context.Context, k key, u *unstructured.Unstructured, before, now resource.Status) error {
	if resource.Same(before, now) {
		return nil
	}
	if err := c.apply(ctx, k, u, now); err != nil {
		return err
	}
	c.mu.Lock()
	c.written[k] = written{u.GetUID(), time.Now(), now}
	c.mu.Unlock()
	c.noteProblems(ctx, u, before.Problems, now.Problems)
	return nil
}

func (c *Cluster) noteProblems(ctx context.Context, u *unstructured.Unstructured, before, now []resource.Problem) {
	if len(now) == 0 || slices.Equal(before, now) {
		return
	}
	lines := make([]string, len(now))
	for i, p := range now {
		lines[i] = p.String()
	}
	c.note(ctx, u, string(resource.Invalid), strings.Join(lines, "; "), true)
}

// apply writes a status by server-side apply: Serin owns its fields, and no others.
func (c *Cluster) apply(ctx context.Context, k key, u *unstructured.Unstructured, status any) error {
	b, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode the status of %s: %w", k, err)
	}
	var plain map[string]any
	if err := json.Unmarshal(b, &plain); err != nil {
		return fmt.Errorf("encode the status of %s: %w", k, err)
	}
	o := bare(u)
	o.Object["status"] = plain
	_, err = c.dynamic.Resource(resources[k.Kind]).Namespace(k.Namespace).ApplyStatus(ctx, k.Name, o,
		metav1.ApplyOptions{FieldManager: manager, Force: true})
	return ignoreGone(err)
}

// bare has the fields with which server-side apply finds an object. The UID keeps a deleted object from being created
// again.
func bare(u *unstructured.Unstructured) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": Group + "/" + Version, "kind": u.GetKind(),
		"metadata": map[string]any{"name": u.GetName(), "namespace": u.GetNamespace(), "uid": string(u.GetUID())},
	}}
}

// ignoreGone drops the error if the object is gone, or is another one by now: then there is nothing to do.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// hold puts the finalizer on a Rollout while a release is under way, and takes it off when there is none: an object
// without a release can be deleted at once, even where Serin no longer runs.
func (c *Cluster) hold(ctx context.Context, u *unstructured.Unstructured, wanted bool) error {
	has := slices.Contains(u.GetFinalizers(), finalizer)
	if has == wanted || wanted && u.GetDeletionTimestamp() != nil {
		return nil
	}
	if !wanted {
		return c.letGo(ctx, u)
	}
	o := bare(u)
	o.SetFinalizers([]string{finalizer})
	_, err := c.dynamic.Resource(resources[Rollout]).Namespace(u.GetNamespace()).Apply(ctx, u.GetName(), o,
		metav1.ApplyOptions{FieldManager: manager, Force: true})
	return ignoreGone(err)
}

// letGo removes the finalizer, but not by server-side apply: that would leave it in place if another field manager,
// such as a restored backup, has written it as well, and the object would never go.
func (c *Cluster) letGo(ctx context.Context, u *unstructured.Unstructured) error {
	type step struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value,omitempty"`
	}
	at := fmt.Sprintf("/metadata/finalizers/%d", slices.Index(u.GetFinalizers(), finalizer))
	patch, err := json.Marshal([]step{
		{Op: "test", Path: "/metadata/uid", Value: string(u.GetUID())},
		{Op: "test", Path: at, Value: finalizer},
		{Op: "remove", Path: at},
	})
	if err != nil {
		return fmt.Errorf("take the finalizer off: %w", err)
	}
	_, err = c.dynamic.Resource(resources[Rollout]).Namespace(u.GetNamespace()).Patch(ctx, u.GetName(),
		types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: manager})
	return ignoreGone(err)
}

func (c *Cluster) reportAnalysis(ctx context.Context, k key) (again time.Duration, err error) {
	u := c.object(k)
	if u == nil || u.GetDeletionTimestamp() != nil {
		return 0, nil
	}
	loaded, read := c.loadedOf(k)
	if !read {
		return soon, nil
	}
	var before resource.AnalysisStatus
	decode(u, &before)
	now := resource.OfAnalysis(loaded.Generation, loaded.Problems, before, time.Now())
	if resource.SameAnalysis(before, now) {
		return 0, nil
	}
	if err := c.apply(ctx, k, u, now); err != nil {
		return 0, err
	}
	c.noteProblems(ctx, u, before.Problems, now.Problems)
	return 0, nil
}

// Tell creates an Event with a notice for a rollout's object, if it has one.
func (c *Cluster) Tell(ctx context.Context, rolloutName, release string, n workload.Notice) {
	namespace, name, ok := strings.Cut(rolloutName, ".")
	if !ok || c.leads() != nil {
		return
	}
	if u := c.object(key{Rollout, namespace, name}); u != nil {
		c.note(ctx, u, n.Reason, n.Text+" (release "+release+")", n.Warning)
	}
}

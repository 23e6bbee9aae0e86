package traefikcrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/generated/clientset/versioned"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"

	"github.com/serindev/serin/traffic/traefikapi"
)

// ErrForeign is returned by [Router.Apply] if an object with one of Serin's names is not Serin's, or if another rollout
// has the host. Nothing was changed.
var ErrForeign = errors.New("not Serin's")

// errConflict is returned by writes that came too late: the object has changed since it was read.
var errConflict = errors.New("it has changed meanwhile")

// kindName is a kind of objects, as the API server calls it.
type kindName string

const (
	ingressRoutes   kindName = "IngressRoute"
	traefikServices kindName = "TraefikService"
	middlewares     kindName = "Middleware"
	coreServices    kindName = "Service"
)

// key is an object in the rollout's namespace.
type key struct {
	kind kindName
	name string
}

func (k key) String() string { return string(k.kind) + " " + k.name }

// object is the required state of one of Serin's objects.
type object struct {
	spec        map[string]any
	annotations map[string]string
}

// stored is an object as it is in the cluster.
type stored struct {
	metav1.Object
	spec map[string]any
	// typed is the spec in Traefik's or Kubernetes's own type.
	typed any
}

// owned reports whether the object carries the labels of a rollout.
func (s *stored) owned(rollout string) bool {
	labels := s.GetLabels()
	return labels[managedLabel] == manager && labels[rolloutLabel] == rollout
}

// client is what the generated clients have in common.
type client[T any] interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (T, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (T, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// kind reads and writes the objects of one kind in the rollout's namespace.
type kind struct {
	apiVersion string
	// partly: the API server adds fields to the spec.
	partly bool
	get    func(ctx context.Context, name string) (*stored, error)
	// of wraps an object of a watch.
	of     func(o metav1.Object) (*stored, error)
	patch  func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions) (*stored, error)
	delete func(ctx context.Context, name string, o metav1.DeleteOptions) error
}

func kindOf[T metav1.Object](apiVersion string, c client[T], spec func(T) any) kind {
	wrap := func(o T, err error) (*stored, error) {
		if err != nil {
			return nil, err
		}
		return &stored{Object: o, spec: specMap(spec(o)), typed: spec(o)}, nil
	}
	return kind{
		apiVersion: apiVersion, delete: c.Delete,
		of: func(o metav1.Object) (*stored, error) {
			if raw, ok := o.(*unstructured.Unstructured); ok {
				route, err := routeOf(raw)
				if err != nil {
					return nil, fmt.Errorf("decode an IngressRoute: %w", err)
				}
				o = route
			}
			t, ok := o.(T)
			if !ok {
				return nil, fmt.Errorf("a %T where another kind was watched", o)
			}
			return wrap(t, nil)
		},
		get: func(ctx context.Context, name string) (*stored, error) {
			return wrap(c.Get(ctx, name, metav1.GetOptions{}))
		},
		patch: func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions) (*stored, error) {
			return wrap(c.Patch(ctx, name, pt, data, o))
		},
	}
}

func kindsOf(namespace string, k kubernetes.Interface, t versioned.Interface) map[kindName]kind {
	const traefik = "traefik.io/v1alpha1"
	core := kindOf("v1", k.CoreV1().Services(namespace), func(o *corev1.Service) any { return &o.Spec })
	core.partly = true
	return map[kindName]kind{
		ingressRoutes:   kindOf(traefik, t.TraefikV1alpha1().IngressRoutes(namespace), func(o *v1alpha1.IngressRoute) any { return &o.Spec }),
		traefikServices: kindOf(traefik, t.TraefikV1alpha1().TraefikServices(namespace), func(o *v1alpha1.TraefikService) any { return &o.Spec }),
		middlewares:     kindOf(traefik, t.TraefikV1alpha1().Middlewares(namespace), func(o *v1alpha1.Middleware) any { return &o.Spec }),
		coreServices:    core,
	}
}

// write brings one of Serin's objects to its required state by server-side apply, unless it is there already.
// [ErrForeign]: it is not Serin's; errConflict: it is no longer the one that was read.
func (r *Router) write(ctx context.Context, k key, want object, have *stored) error {
	if have != nil && !have.owned(r.config.Rollout) {
		return fmt.Errorf("%s: %w: it has not the labels %s=%s and %s=%s", k, ErrForeign, managedLabel, manager, rolloutLabel, r.config.Rollout)
	}
	if have != nil && len(r.differences(k, want, have)) == 0 {
		return nil
	}
	meta := map[string]any{
		"name": k.name, "namespace": r.config.Namespace, "annotations": want.annotations,
		"labels": map[string]string{managedLabel: manager, rolloutLabel: r.config.Rollout},
	}
	if have != nil {
		meta["uid"] = have.GetUID() // another object of that name is not Serin's; a newer version of this one still is
	}
	data, err := json.Marshal(map[string]any{"apiVersion": r.live.kinds[k.kind].apiVersion, "kind": k.kind, "metadata": meta, "spec": want.spec})
	if err != nil {
		return fmt.Errorf("encode %s: %w", k, err)
	}
	force := have != nil // fields that we take over in our own object are ours; a new object belongs to nobody yet
	got, err := r.send(ctx, k, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: manager, Force: &force})
	if err != nil {
		return writeError("apply "+k.String(), err)
	}
	if r.live.kinds[k.kind].partly {
		return nil
	}
	return r.prune(ctx, k, want, got)
}

// prune removes the fields that others have added to an object of Serin's: an apply leaves them alone.
func (r *Router) prune(ctx context.Context, k key, want object, got *stored) error {
	paths := extra("/spec", want.spec, got.spec)
	if len(paths) == 0 {
		return nil
	}
	ops := []operation{test("/metadata/resourceVersion", got.GetResourceVersion())}
	for _, p := range paths {
		ops = append(ops, operation{Op: "remove", Path: p})
	}
	return r.patch(ctx, k, ops)
}

// extra are the JSON pointers of the fields in got that want does not have; lists are whole.
func extra(at string, want, got map[string]any) []string {
	var out []string
	for name, value := range got {
		path := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		other, ok := want[name]
		if !ok {
			out = append(out, path)
			continue
		}
		a, isMap := other.(map[string]any)
		b, isMapToo := value.(map[string]any)
		if isMap && isMapToo {
			out = append(out, extra(path, a, b)...)
		}
	}
	slices.Sort(out)
	return out
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func test(path string, value any) operation { return operation{Op: "test", Path: path, Value: value} }

// patch changes an object by a JSON patch. errConflict: one of its tests failed.
func (r *Router) patch(ctx context.Context, k key, ops []operation) error {
	data, err := json.Marshal(ops)
	if err != nil {
		return fmt.Errorf("encode a patch of %s: %w", k, err)
	}
	_, err = r.send(ctx, k, types.JSONPatchType, data, metav1.PatchOptions{FieldManager: manager})
	return writeError("patch "+k.String(), err)
}

// send sends a patch, and remembers the version that watches have to reach before they count.
func (r *Router) send(ctx context.Context, k key, pt types.PatchType, data []byte, o metav1.PatchOptions) (*stored, error) {
	got, err := r.live.kinds[k.kind].patch(ctx, k.name, pt, data, o)
	if err == nil {
		r.knowledge.mark(r.config.Namespace, k, mark{version: got.GetResourceVersion()})
	}
	return got, err
}

// remove deletes one of Serin's objects; it leaves objects of others, and accepts missing ones.
func (r *Router) remove(ctx context.Context, k key, have *stored) error {
	if have == nil || !have.owned(r.config.Rollout) {
		return nil
	}
	uid, version := have.GetUID(), have.GetResourceVersion()
	err := r.live.kinds[k.kind].delete(ctx, k.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		r.knowledge.mark(r.config.Namespace, k, mark{gone: uid})
	}
	return writeError("delete "+k.String(), err)
}

// writeError returns errConflict where another try, with the current state, may succeed.
func writeError(act string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), testFailed(err):
		return fmt.Errorf("%s: %w: %w", act, errConflict, err)
	}
	return fmt.Errorf("%s: %w", act, err)
}

// differences says what in one of Serin's objects is not as it has to be, and who changed it.
func (r *Router) differences(k key, want object, have *stored) []string {
	out := traefikapi.Differ(k.String(), want.spec, have.spec, !r.live.kinds[k.kind].partly)
	if k.kind == coreServices {
		out = serviceDifferences(k, want, have)
	}
	for name, value := range want.annotations {
		if have.GetAnnotations()[name] != value {
			out = append(out, fmt.Sprintf("%s: annotation %s is %q, not %q", k, name, have.GetAnnotations()[name], value))
		}
	}
	out = append(out, strangers(k, have)...)
	return out
}

// serviceDifferences compares what matters in a Service of the cohort's.
func serviceDifferences(k key, want object, have *stored) []string {
	var out []string
	for _, field := range []string{"selector", "ports", "externalName"} {
		out = append(out, traefikapi.Differ(k.String()+" "+field, map[string]any{field: want.spec[field]}, map[string]any{field: have.spec[field]}, true)...)
	}
	return out
}

// testFailed tells the failed test of a JSON patch, which the API server calls invalid without saying what is, from an
// object that is invalid.
func testFailed(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) {
		return false
	}
	details := status.Status().Details
	return details == nil || len(details.Causes) == 0
}

package kubeobjects

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/traffic/traefikapi"
)

// ErrForeign is returned if an object with one of Serin's names is not Serin's, or if another rollout has the host.
// Nothing was changed.
var ErrForeign = errors.New("not Serin's")

// ErrConflict is returned by writes that came too late: the object has changed since it was read.
var ErrConflict = errors.New("it has changed meanwhile")

// KindName is a kind of objects, as the API server calls it.
type KindName string

const (
	// Services are a kind of every store.
	Services KindName = "Service"
	// endpoints are EndpointSlices, which belong to a Service.
	endpoints KindName = "EndpointSlice"
)

// Key names an object of a rollout: a Service in the namespace of the arms, anything else in that of the routes.
type Key struct {
	Kind KindName
	Name string
}

func (k Key) String() string { return string(k.Kind) + " " + k.Name }

// Object is the required state of one of Serin's objects.
type Object struct {
	Spec        map[string]any
	Annotations map[string]string
}

// Stored is an object as it is in the cluster.
type Stored struct {
	metav1.Object
	Spec map[string]any
	// Typed is what [KindOf] was told to take from the object.
	Typed any
}

// Owned reports whether the object carries the labels of a rollout.
func (s *Stored) Owned(rollout string) bool {
	labels := s.GetLabels()
	return labels[ManagedLabel] == Manager && labels[RolloutLabel] == rollout
}

// Made reports whether Serin has made the object for a rollout, even if others have removed its labels since: the
// canary has to leave such a route too. One with another rollout's label is that rollout's.
func (s *Stored) Made(rollout string) bool {
	label := s.GetLabels()[RolloutLabel]
	return s.Owned(rollout) || (label == "" || label == rollout) && slices.ContainsFunc(s.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == Manager && m.Operation == metav1.ManagedFieldsOperationApply // a user's object is patched, never applied
	})
}

// Client is what the generated clients have in common.
type Client[T any] interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (T, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (T, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// Kind reads and writes the objects of one kind in the rollout's namespace. [KindOf] makes one.
type Kind struct {
	apiVersion string
	// partly: the API server adds fields to the spec.
	partly bool
	get    func(ctx context.Context, name string) (*Stored, error)
	raw    func(ctx context.Context, name string) ([]byte, error)
	// of wraps an object of a watch.
	of     func(o metav1.Object) (*Stored, error)
	patch  func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions) (*Stored, error)
	delete func(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// KindOf makes a kind from a client. typed returns the spec of an object, and whatever else the backend needs. raw
// reads an object as JSON, with the fields that T does not know; nil if it is never needed.
func KindOf[T metav1.Object](apiVersion string, c Client[T], typed func(T) any, raw func(ctx context.Context, name string) ([]byte, error)) Kind {
	wrap := func(o T, err error) (*Stored, error) {
		if err != nil {
			return nil, err
		}
		spec := typed(o)
		return &Stored{Object: o, Spec: SpecMap(spec), Typed: spec}, nil
	}
	return Kind{
		apiVersion: apiVersion, delete: c.Delete, raw: raw,
		of: func(o metav1.Object) (*Stored, error) {
			t, ok := o.(T)
			if u, isRaw := o.(*unstructured.Unstructured); isRaw && !ok {
				var err error
				if t, err = decode[T](u); err != nil {
					return nil, fmt.Errorf("decode a %s: %w", u.GetKind(), err)
				}
			} else if !ok {
				return nil, fmt.Errorf("a %T where another kind was watched", o)
			}
			return wrap(t, nil)
		},
		get: func(ctx context.Context, name string) (*Stored, error) {
			return wrap(c.Get(ctx, name, metav1.GetOptions{}))
		},
		patch: func(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions) (*Stored, error) {
			return wrap(c.Patch(ctx, name, pt, data, o))
		},
	}
}

// decode converts an object of a watch to T, a pointer type.
func decode[T any](o *unstructured.Unstructured) (T, error) {
	var out T
	data, err := json.Marshal(o)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(data, &out)
}

func servicesOf(namespace string, k kubernetes.Interface) Kind {
	if k == nil {
		return Kind{}
	}
	kind := KindOf("v1", k.CoreV1().Services(namespace), func(o *corev1.Service) any { return &o.Spec }, nil)
	kind.partly = true
	return kind
}

// Write brings one of Serin's objects to its required state by server-side apply, unless it already has it. have is the
// object as it was read, nil if it did not exist. [ErrForeign]: it is not Serin's; [ErrConflict]: it is no longer the
// one that was read.
func (s *Store) Write(ctx context.Context, k Key, want Object, have *Stored) error {
	if have != nil && !have.Owned(s.rollout) {
		return s.NotOwned(k)
	}
	if have != nil && len(s.Differences(k, want, have)) == 0 {
		return nil
	}
	meta := map[string]any{
		"name": k.Name, "namespace": s.home(k.Kind), "annotations": want.Annotations,
		"labels": map[string]string{ManagedLabel: Manager, RolloutLabel: s.rollout},
	}
	if have != nil {
		meta["uid"] = have.GetUID() // a new object with that name would not be Serin's; a newer version of this one is
	}
	data, err := json.Marshal(map[string]any{"apiVersion": s.kinds[k.Kind].apiVersion, "kind": k.Kind, "metadata": meta, "spec": want.Spec})
	if err != nil {
		return fmt.Errorf("encode %s: %w", k, err)
	}
	force := have != nil // in our own object we may take over fields; a new one must not exist yet
	got, err := s.send(ctx, k, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: Manager, Force: &force})
	if err != nil {
		return writeError("apply "+k.String(), err)
	}
	if s.kinds[k.Kind].partly {
		return nil
	}
	return s.prune(ctx, k, want, got)
}

// NotOwned is the error for an object that has one of Serin's names but not its labels.
func (s *Store) NotOwned(k Key) error {
	return fmt.Errorf("%s exists and is %w: it lacks the labels %s=%s and %s=%s", k, ErrForeign, ManagedLabel, Manager, RolloutLabel, s.rollout)
}

// prune removes the fields that others have added to one of Serin's objects: an apply leaves them alone.
func (s *Store) prune(ctx context.Context, k Key, want Object, got *Stored) error {
	paths := extra("/spec", want.Spec, got.Spec)
	if len(paths) == 0 {
		return nil
	}
	ops := []Operation{Test("/metadata/resourceVersion", got.GetResourceVersion())}
	for _, p := range paths {
		ops = append(ops, Operation{Op: "remove", Path: p})
	}
	return s.Patch(ctx, k, ops)
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

// Operation is one operation of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Test is an operation that fails the whole patch unless value is at path.
func Test(path string, value any) Operation { return Operation{Op: "test", Path: path, Value: value} }

// Patch changes an object by a JSON patch. [ErrConflict]: one of its tests failed.
func (s *Store) Patch(ctx context.Context, k Key, ops []Operation) error {
	data, err := json.Marshal(ops)
	if err != nil {
		return fmt.Errorf("encode a patch of %s: %w", k, err)
	}
	_, err = s.send(ctx, k, types.JSONPatchType, data, metav1.PatchOptions{FieldManager: Manager})
	return writeError("patch "+k.String(), err)
}

// send sends a patch, and remembers the version that watches have to reach before they are trusted.
func (s *Store) send(ctx context.Context, k Key, pt types.PatchType, data []byte, o metav1.PatchOptions) (*Stored, error) {
	got, err := s.kinds[k.Kind].patch(ctx, k.Name, pt, data, o)
	if err == nil {
		s.knowledge.mark(s.home(k.Kind), k, mark{version: got.GetResourceVersion()})
	}
	return got, err
}

// Remove deletes one of Serin's objects; it leaves foreign objects alone, and accepts missing ones.
func (s *Store) Remove(ctx context.Context, k Key, have *Stored) error {
	if have == nil || !have.Owned(s.rollout) {
		return nil
	}
	return s.remove(ctx, k, have)
}

// RemoveMade is [Store.Remove] for an object that Serin has made, such as a route to the canary, whatever its labels
// are now.
func (s *Store) RemoveMade(ctx context.Context, k Key, have *Stored) error {
	if have == nil || !have.Made(s.rollout) {
		return nil
	}
	return s.remove(ctx, k, have)
}

func (s *Store) remove(ctx context.Context, k Key, have *Stored) error {
	uid, version := have.GetUID(), have.GetResourceVersion()
	err := s.kinds[k.Kind].delete(ctx, k.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		s.knowledge.mark(s.home(k.Kind), k, mark{gone: uid})
	}
	return writeError("delete "+k.String(), err)
}

// writeError returns [ErrConflict] if another attempt, with the current state, may succeed.
func writeError(act string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), testFailed(err):
		return fmt.Errorf("%s: %w: %w", act, ErrConflict, err)
	}
	return fmt.Errorf("%s: %w", act, err)
}

// testFailed distinguishes the failed test of a JSON patch, which the API server calls invalid without details, from an
// invalid object.
func testFailed(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) {
		return false
	}
	details := status.Status().Details
	return details == nil || len(details.Causes) == 0
}

// Differences says what in one of Serin's objects differs from its required state, and who changed it.
func (s *Store) Differences(k Key, want Object, have *Stored) []string {
	out := traefikapi.Differ(k.String(), want.Spec, have.Spec, !s.kinds[k.Kind].partly)
	if k.Kind == Services {
		out = serviceDifferences(k, want, have)
	}
	for name, value := range want.Annotations {
		if have.GetAnnotations()[name] != value {
			out = append(out, fmt.Sprintf("%s: annotation %s is %q, not %q", k, name, have.GetAnnotations()[name], value))
		}
	}
	return append(out, Strangers(k, have)...)
}

// serviceDifferences compares the fields that matter in a cohort's Service.
func serviceDifferences(k Key, want Object, have *Stored) []string {
	var out []string
	for _, field := range []string{"selector", "ports", "externalName"} {
		out = append(out, traefikapi.Differ(k.String()+" "+field, map[string]any{field: want.Spec[field]},
			map[string]any{field: have.Spec[field]}, true)...)
	}
	return out
}

// SpecMap returns a spec as the API server has it: as JSON, without the empty ports that Traefik's types write.
func SpecMap(spec any) map[string]any {
	data, err := json.Marshal(spec)
	out := map[string]any{}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic(fmt.Sprintf("JSON of a %T: %v", spec, err)) // every spec has a JSON form
	}
	dropZeroPorts(out)
	return out
}

func dropZeroPorts(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["port"] == float64(0) {
			delete(v, "port")
		}
		for _, value := range v {
			dropZeroPorts(value)
		}
	case []any:
		for _, value := range v {
			dropZeroPorts(value)
		}
	}
}

// Digest is a hash of the specs of what Serin owns, and of what matters in users' objects, by names of the backend's choice.
func Digest(owned map[Key]*Stored, users map[string]any) string {
	all := map[string]any{}
	maps.Copy(all, users)
	for k, o := range owned {
		all[k.String()] = o.Spec
	}
	data, err := json.Marshal(all)
	if err != nil {
		panic(fmt.Sprintf("JSON of specs: %v", err)) // they came from JSON
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

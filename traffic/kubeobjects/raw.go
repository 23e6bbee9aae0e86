package kubeobjects

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/kubernetes"
)

// Connect makes clients for the cluster that c leads to, without sending a request.
func Connect(c *rest.Config) (kubernetes.Interface, dynamic.Interface, error) {
	k, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	d, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return k, d, nil
}

// rawClient is a client for objects as the API server has them, including fields that the Go types do not know: users'
// routes may have them.
type rawClient struct{ dynamic.ResourceInterface }

func (c rawClient) Get(ctx context.Context, name string, o metav1.GetOptions) (*unstructured.Unstructured, error) {
	return c.ResourceInterface.Get(ctx, name, o)
}

func (c rawClient) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions,
	sub ...string) (*unstructured.Unstructured, error) {
	return c.ResourceInterface.Patch(ctx, name, pt, data, o, sub...)
}

func (c rawClient) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	return c.ResourceInterface.Delete(ctx, name, o)
}

// KindOfRaw is [KindOf] for objects in the API server's own form; Typed is their spec.
func KindOfRaw(apiVersion string, c dynamic.ResourceInterface) Kind {
	return KindOf(apiVersion, rawClient{c}, func(o *unstructured.Unstructured) any { return RawSpec(o) }, nil)
}

// RawSpec is the spec of an object, with JSON's numbers; empty if it has none.
func RawSpec(o *unstructured.Unstructured) map[string]any {
	if o.Object["spec"] == nil {
		return map[string]any{}
	}
	return SpecMap(o.Object["spec"])
}

// Annotate returns the patch operations that give an object an annotation; none if it has it.
func Annotate(o *Stored, name, value string) []Operation {
	if o.GetAnnotations()[name] == value {
		return nil
	}
	var ops []Operation
	if o.GetAnnotations() == nil {
		ops = append(ops, Test("/metadata/resourceVersion", o.GetResourceVersion()),
			Operation{Op: "add", Path: "/metadata/annotations", Value: map[string]string{}})
	}
	return append(ops, Operation{Op: "add", Path: "/metadata/annotations/" + strings.ReplaceAll(name, "/", "~1"), Value: value})
}

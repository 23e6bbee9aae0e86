package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/serindev/serin/workload"
)

// Template says what pod template a Deployment has, and whether it is new: what a trigger starts a release for. What
// is seen for the first time is not new; that it was seen is kept in an annotation.
func (c *Cluster) Template(ctx context.Context, n workload.Name) (workload.Template, error) {
	c.ask(&workload.Target{Deployments: []workload.Deployment{{Name: n}}})
	o, err := c.deployment(ctx, n, false)
	if err != nil || o == nil {
		return workload.Template{}, err
	}
	t := workload.Template{Hash: hash(template(o)), Images: images(template(o))}
	switch o.GetAnnotations()[templateAnnotation] {
	case t.Hash:
		return t, nil
	case "":
		return t, c.Seen(ctx, n, t.Hash)
	}
	// It may have been written here a moment ago, and what is known may be older than that.
	if o, err = c.deployment(ctx, n, true); err != nil || o == nil {
		return workload.Template{}, err
	}
	t = workload.Template{Hash: hash(template(o)), Images: images(template(o))}
	t.New = o.GetAnnotations()[templateAnnotation] != t.Hash
	return t, nil
}

// Seen keeps that the template with the hash is known: a release was started for it. It is idempotent.
func (c *Cluster) Seen(ctx context.Context, n workload.Name, templateHash string) error {
	for try := range tries {
		o, err := c.deployment(ctx, n, true)
		if err != nil || o == nil {
			return err
		}
		if o.GetAnnotations()[templateAnnotation] == templateHash {
			return nil
		}
		_, err = c.patch(ctx, o, annotate(o, map[string]string{templateAnnotation: templateHash}), false)
		if !apierrors.IsConflict(err) {
			return err
		}
		again(ctx, try)
	}
	return fmt.Errorf("patch Deployment %s: another writer changed it each time between reading and writing it", n)
}

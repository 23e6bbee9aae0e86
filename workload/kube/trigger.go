package kube

import (
	"context"
	"errors"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serindev/serin/workload"
)

// Template returns the pod template of a Deployment, and whether it is new: for a new one, a trigger starts a release. The
// first one seen is not new; an annotation records that it was seen.
func (c *Cluster) Template(ctx context.Context, n workload.Name) (workload.Template, error) {
	c.ask(&workload.Target{Deployments: []workload.Deployment{{Name: n}}})
	o, err := c.deployment(ctx, n, false)
	if err != nil || o == nil {
		return workload.Template{}, err
	}
	t, seen, err := c.templateOf(ctx, o)
	switch {
	case errors.Is(err, errUnsettled):
		return workload.Template{Hash: versionHash(template(o)), Images: images(template(o))}, nil
	case err != nil:
		return workload.Template{}, err
	case seen == "":
		return t, c.Seen(ctx, n, t.Hash)
	case !t.New && seen != t.Hash:
		return t, c.Seen(ctx, n, t.Hash) // the next restart would be taken for a new template
	case !t.New:
		return t, nil
	}
	// This process may have written it a moment ago, and the cache may be older than that.
	if o, err = c.deployment(ctx, n, true); err != nil || o == nil {
		return workload.Template{}, err
	}
	t, _, err = c.templateOf(ctx, o)
	if errors.Is(err, errUnsettled) {
		t.New, err = false, nil
	}
	return t, err
}

// restartedAnnotation, on a pod template, is kubectl rollout restart's.
const restartedAnnotation = "kubectl.kubernetes.io/restartedAt"

// templateOf is a Deployment's pod template as triggers see it, and the hash of the one that was seen last. A restart is
// not a new version, so its time does not count. What Serin has written, and what its earlier versions have seen, is
// recorded as the hash of the whole template. Where ConfigMaps are tracked, what they contain is a part of the template,
// before it is written there too; that they are tracked from now on is no new version.
func (c *Cluster) templateOf(ctx context.Context, o *unstructured.Unstructured) (t workload.Template, seen string, err error) {
	seen = o.GetAnnotations()[templateAnnotation]
	known := func(template map[string]any) bool { return seen == versionHash(template) || seen == hash(template) }
	full, err := c.asTracked(ctx, o)
	if err != nil {
		return t, seen, err
	}
	raw, now := template(o), template(full)
	t = workload.Template{Hash: versionHash(now), Images: images(now)}
	t.New = seen != "" && !known(now) && (len(contentsOf(raw)) > 0 || !known(raw))
	t.InService = t.New && serviceOf(o).is(now)
	return t, seen, nil
}

// versionHash is the hash of a template without what kubectl rollout restart writes.
func versionHash(template map[string]any) string {
	notes := at(template, "metadata", "annotations")
	if _, restarted := notes[restartedAnnotation]; !restarted {
		return hash(template)
	}
	out, meta := maps.Clone(template), maps.Clone(at(template, "metadata"))
	notes = maps.Clone(notes)
	delete(notes, restartedAnnotation)
	if meta["annotations"] = notes; len(notes) == 0 {
		delete(meta, "annotations")
	}
	out["metadata"] = meta
	return hash(out)
}

// Seen records that the template with the hash is known: a release was started for it. It is idempotent.
func (c *Cluster) Seen(ctx context.Context, n workload.Name, templateHash string) error {
	return c.rewrite(ctx, n, func(o *unstructured.Unstructured) ([]operation, error) {
		if o.GetAnnotations()[templateAnnotation] == templateHash {
			return nil, nil
		}
		return annotate(o, map[string]string{templateAnnotation: templateHash}), nil
	})
}

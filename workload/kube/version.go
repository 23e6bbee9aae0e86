package kube

import (
	"context"
	"fmt"
	"strings"

	"github.com/serindev/serin/workload"
)

// versionLabel is Kubernetes' recommended label for it.
const versionLabel = "app.kubernetes.io/version"

// Version is what the pods of a Deployment run: their label app.kubernetes.io/version, else the tag of the first
// container's image. It returns an error that names the Deployment if there is neither.
func (c *Cluster) Version(ctx context.Context, n workload.Name) (string, error) {
	c.ask(&workload.Target{Deployments: []workload.Deployment{{Name: n}}})
	o, err := c.deployment(ctx, n, false)
	if err != nil {
		return "", err
	}
	if o == nil {
		return "", fmt.Errorf("%s %s is not there", n.KindOrDeployment(), n)
	}
	if v := podLabels(template(o))[versionLabel]; v != "" {
		return v, nil
	}
	if containers, _ := at(template(o), "spec")["containers"].([]any); len(containers) > 0 {
		first, _ := containers[0].(map[string]any)
		image, _ := first["image"].(string)
		if v := tag(image); v != "" {
			return v, nil
		}
	}
	return "", fmt.Errorf("%s %s has no version: its pods have no label %s, and its image has no tag", n.KindOrDeployment(), n, versionLabel)
}

// Images are those of a Deployment's pod template: of its first container, and of all containers by their names. They are
// empty where it is not there.
func (c *Cluster) Images(ctx context.Context, n workload.Name) (first string, all map[string]string, err error) {
	o, err := c.deployment(ctx, n, false)
	if o == nil || err != nil {
		return "", nil, err
	}
	containers, _ := at(template(o), "spec")["containers"].([]any)
	all = make(map[string]string, len(containers))
	for i, one := range containers {
		container, _ := one.(map[string]any)
		name, _ := container["name"].(string)
		image, _ := container["image"].(string)
		if all[name] = image; i == 0 {
			first = image
		}
	}
	return first, all, nil
}

// tag of an image: what follows the colon in its last part, without a digest.
func tag(image string) string {
	image, _, _ = strings.Cut(image, "@")
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tag
}

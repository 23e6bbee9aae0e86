package traefikapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// safeSeparator stands between the parts of a name that Traefik 3.7 gives with providers.kubernetesCRD.safeNaming. No name in
// Kubernetes has it.
const safeSeparator = "_"

// CheckNaming returns an error if a replica names the router of an IngressRoute by providers.kubernetesCRD.safeNaming, an
// option of Traefik 3.7 that is off by default: NAMESPACE_NAME_NUMBER. Serin knows none of those names: those of services change
// with the weight, and with them the series of a version. It is asked where the router is not there by its other name.
func (c *Client) CheckNaming(ctx context.Context, replica Replica, namespace, ingressRoute string) error {
	prefix := strings.Join([]string{namespace, ingressRoute, ""}, safeSeparator)
	var list []struct {
		Name string `json:"name"`
	}
	if err := c.Search(ctx, replica, "routers", prefix, &list); err != nil {
		return err
	}
	for _, found := range list {
		if strings.HasPrefix(found.Name, prefix) {
			return namedSafely("IngressRoute "+ingressRoute, found.Name)
		}
	}
	return nil
}

// CheckNamingTCP is [Client.CheckNaming] for the router of a route of an IngressRouteTCP.
func (c *Client) CheckNamingTCP(ctx context.Context, replica Replica, namespace, ingressRoute string, route int) error {
	name := strings.Join([]string{namespace, ingressRoute, strconv.Itoa(route)}, safeSeparator) + "@kubernetescrd"
	switch err := c.GetTCP(ctx, replica, "routers", name, &struct{}{}); {
	case errors.Is(err, ErrNoObject):
		return nil
	case err != nil:
		return err
	}
	return namedSafely("IngressRouteTCP "+ingressRoute, name)
}

func namedSafely(route, name string) error {
	return fmt.Errorf("it calls the router of %s %s, by its option providers.kubernetesCRD.safeNaming, whose names "+
		"Serin does not know: set that to false", route, name)
}

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/kubeobjects"
)

// grants says in sentences which Services the routes of Gateway API may not lead to, because they are in another namespace
// and no ReferenceGrant there allows it.
func (l *Live) grants(ctx context.Context, plan *record.Plan) (wrong []string) {
	g := plan.Gateway.Routes
	if g == nil || g.Arms == "" {
		return nil
	}
	path := "/apis/" + gatewayv1beta1.GroupVersion.String() + "/namespaces/" + g.Arms + "/referencegrants"
	data, err := l.kube.CoreV1().RESTClient().Get().AbsPath(path).Do(ctx).Raw()
	if kubeerrors.IsForbidden(err) {
		return []string{fmt.Sprintf("may not list referencegrants in namespace %s, so it is not known whether routes "+
			"of namespace %s may lead to Services there", g.Arms, g.Namespace)}
	}
	var found gatewayv1beta1.ReferenceGrantList
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	if err != nil {
		return []string{fmt.Sprintf("ReferenceGrants in namespace %s: %s", g.Arms, err)}
	}
	kind := gatewayv1.Kind("HTTPRoute")
	if len(g.GRPC) > 0 {
		kind = "GRPCRoute"
	}
	for _, service := range servicesOf(plan) {
		if !slices.ContainsFunc(found.Items, func(grant gatewayv1beta1.ReferenceGrant) bool {
			return grantsTo(&grant.Spec, kind, g.Namespace, service)
		}) {
			wrong = append(wrong, fmt.Sprintf("no ReferenceGrant in namespace %s lets an %s of "+
				"namespace %s lead to Service %s", g.Arms, kind, g.Namespace, service))
		}
	}
	return wrong
}

// grantsTo reports whether a grant lets routes of a namespace lead to a Service.
func grantsTo(grant *gatewayv1beta1.ReferenceGrantSpec, kind gatewayv1.Kind, namespace, service string) bool {
	return slices.ContainsFunc(grant.From, func(from gatewayv1beta1.ReferenceGrantFrom) bool {
		return from.Group == gatewayv1.GroupName && from.Kind == kind && string(from.Namespace) == namespace
	}) && slices.ContainsFunc(grant.To, func(to gatewayv1beta1.ReferenceGrantTo) bool {
		return to.Group == "" && to.Kind == "Service" && (to.Name == nil || string(*to.Name) == service)
	})
}

// servicesOf are the Services that the routes of a release lead to, those of an A/B step too.
func servicesOf(plan *record.Plan) []string {
	out := []string{plan.Rollout.Stable.Service, plan.Rollout.Canary.Service}
	if slices.ContainsFunc(plan.Rollout.Steps, func(s rollout.Step) bool { _, ab := s.(rollout.AB); return ab }) {
		for _, b := range []traffic.Backend{plan.Rollout.Stable, plan.Rollout.Canary} {
			out = append(out, kubeobjects.CohortBackend(b).Service)
		}
	}
	return out
}

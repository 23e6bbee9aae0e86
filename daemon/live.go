package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/analysis"
	"github.com/serindev/serin/engine"
	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/workload"
	"github.com/serindev/serin/workload/kube"
)

// Live looks at what the rollouts of a configuration would meet now, without changing anything: before a daemon runs, or
// in addition to one.
type Live struct {
	cluster *cluster             // nil without one
	kube    kubernetes.Interface // nil without one
	// namespaces is nil without a cluster, or where nobody may ask for the daemon's receivers.
	namespaces *namespaces
}

// liveTimeout bounds one question.
const liveTimeout = 10 * time.Second

// OpenLive connects to the cluster that the daemon's document names, if it names one.
func OpenLive(o Options) (*Live, error) {
	if o.Spec.Kubernetes == nil || o.Spec.Kubernetes.Kubeconfig == "" && os.Getenv("KUBERNETES_SERVICE_HOST") == "" {
		return &Live{}, nil
	}
	c, err := newCluster(o)
	if c == nil || err != nil {
		return &Live{}, err
	}
	rest, err := clusterConfig(o)
	if err != nil {
		return nil, err
	}
	k, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, err
	}
	ns, err := newNamespaces(o)
	return &Live{cluster: c, kube: k, namespaces: ns}, err
}

// errNowhere says why a rollout on Kubernetes could not be looked at.
var errNowhere = errors.New("the rollout is on Kubernetes, and no cluster is at hand: --config names a daemon's document that has kubernetes")

// Stable is what stable is called in its metrics now. The error says why that cannot be known.
func (l *Live) Stable(ctx context.Context, plan *record.Plan) (analysis.Names, error) {
	r, err := l.router(plan)
	if err != nil {
		return analysis.Names{}, err
	}
	_, service := r.Labels(traffic.MainLane)
	names := engine.StableNames(&plan.Rollout, service)
	if c := plan.Rollout.Cluster; c != nil {
		ctx, cancel := context.WithTimeout(ctx, liveTimeout)
		defer cancel()
		version, err := l.cluster.Version(ctx, c.Arms.Stable.Deployment)
		if err != nil {
			return analysis.Names{}, fmt.Errorf("version of %s %s: %w", c.Arms.Stable.Deployment.KindOrDeployment(), c.Arms.Stable.Deployment, err)
		}
		names.Vars["version"] = []string{version}
	}
	return names, nil
}

func (l *Live) router(plan *record.Plan) (engine.Router, error) {
	if plan.Rollout.Cluster != nil && l.cluster == nil {
		return nil, errNowhere
	}
	return routers(l.cluster)(plan.Rollout.Name, plan.Gateway)
}

// Traffic says in sentences what is wrong with the way to the gateway.
func (l *Live) Traffic(ctx context.Context, plan *record.Plan) (wrong []string) {
	if file := plan.Gateway.File; file != "" {
		if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
			wrong = append(wrong, fmt.Sprintf("there is no folder %s, where Traefik is to find its file", filepath.Dir(file)))
		}
	}
	r, err := l.router(plan)
	if err != nil {
		return append(wrong, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	seen, err := r.Observe(ctx)
	if err != nil {
		return append(wrong, err.Error())
	}
	if seen.Unreadable != "" {
		wrong = append(wrong, seen.Unreadable)
	}
	for _, replica := range seen.Replicas {
		if replica.Err != "" {
			wrong = append(wrong, fmt.Sprintf("Traefik's API at %s: %s", replica.Name, replica.Err))
		}
	}
	return wrong
}

// Cluster says in sentences which workloads, Services, ports and rights a rollout on Kubernetes lacks, and what is wrong with
// the receivers that its Namespace asks for. It is empty for one that is not on Kubernetes.
func (l *Live) Cluster(ctx context.Context, plan *record.Plan) (wrong []string) {
	c := plan.Rollout.Cluster
	if c == nil || l.kube == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	stable, canary := c.Arms.Stable, c.Arms.Canary
	wrong = l.receivers(ctx, plan.Namespace())
	if c.Split != nil { // its arms have no Services, and a canary that is not there yet is made from stable
		wrong = append(wrong, l.runs(ctx, "stable", stable.Deployment)...)
		return append(wrong, l.rights(ctx, plan)...)
	}
	wrong = append(wrong, l.arm(ctx, "stable", stable, ports(plan, plan.Rollout.Stable.Port, func(p traffic.PortPair) string { return p.Stable }))...)
	if _, err := l.kube.CoreV1().Services(canary.Deployment.Namespace).Get(ctx, canary.Service, meta.GetOptions{}); !kubeerrors.IsNotFound(err) {
		// A canary that is not there yet is made from stable.
		wrong = append(wrong, l.arm(ctx, "canary", canary,
			ports(plan, plan.Rollout.Canary.Port, func(p traffic.PortPair) string { return p.Canary }))...)
	}
	budgets, err := l.cluster.BudgetsInTheWay(ctx, c.Arms)
	if err == nil { // without the right to read them, there is nothing to say
		wrong = append(wrong, budgets...)
	}
	return slices.Concat(wrong, l.grants(ctx, plan), l.rights(ctx, plan))
}

// receivers says what is wrong with those that a Namespace asks for. One that the caller may not read is passed over: the daemon
// asks with rights of its own.
func (l *Live) receivers(ctx context.Context, namespace string) (wrong []string) {
	if l.namespaces == nil || namespace == "" {
		return nil
	}
	l.namespaces.asked(ctx, namespace)
	for _, p := range l.namespaces.problems() {
		if p.File == "Namespace "+namespace {
			wrong = append(wrong, p.String())
		}
	}
	return wrong
}

// runs looks for an arm's workload.
func (l *Live) runs(ctx context.Context, which string, n workload.Name) (wrong []string) {
	var err error
	switch n.Kind {
	case workload.StatefulSet:
		_, err = l.kube.AppsV1().StatefulSets(n.Namespace).Get(ctx, n.Name, meta.GetOptions{})
	default:
		_, err = l.kube.AppsV1().Deployments(n.Namespace).Get(ctx, n.Name, meta.GetOptions{})
	}
	if err != nil {
		return []string{fmt.Sprintf("%s: %s %s: %s", which, n.KindOrDeployment(), n, err)}
	}
	return nil
}

// Doubts says in sentences what makes a release of a rollout on Kubernetes harder than it has to be, although it can run.
func (l *Live) Doubts(ctx context.Context, plan *record.Plan) (out []string) {
	c := plan.Rollout.Cluster
	if c == nil || l.kube == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	for _, n := range []workload.Name{c.Arms.Stable.Deployment, c.Arms.Canary.Deployment} {
		if n.Kind != workload.StatefulSet {
			continue
		}
		set, err := l.kube.AppsV1().StatefulSets(n.Namespace).Get(ctx, n.Name, meta.GetOptions{})
		if err != nil {
			continue // what is not there is said elsewhere
		}
		for _, doubt := range doubts(&set.Spec, c.Split != nil || n == c.Arms.Canary.Deployment) {
			out = append(out, fmt.Sprintf("StatefulSet %s: %s", n, doubt))
		}
	}
	return out
}

// ports are those of an arm's Service that routes lead to.
func ports(plan *record.Plan, first string, of func(traffic.PortPair) string) []string {
	var pairs []traffic.PortPair
	switch g := &plan.Gateway; {
	case g.Cluster != nil:
		pairs = g.Cluster.Ports
	case g.Routes != nil:
		pairs = g.Routes.Ports
	}
	out := []string{first}
	for _, pair := range pairs {
		out = append(out, of(pair))
	}
	return out
}

// doubts are what a StatefulSet's own settings do to a release; scaled: Serin changes how many pods it has.
func doubts(s *apps.StatefulSetSpec, scaled bool) (out []string) {
	if s.PodManagementPolicy != apps.ParallelPodManagement {
		out = append(out, "with podManagementPolicy OrderedReady Kubernetes does not replace a pod that never becomes ready, so a way back "+
			"from a version that does not start takes until rollback.deadline, or until somebody deletes that pod; Parallel has no such wait")
	}
	if r := s.PersistentVolumeClaimRetentionPolicy; scaled && r != nil && r.WhenScaled == apps.DeletePersistentVolumeClaimRetentionPolicyType {
		out = append(out, "persistentVolumeClaimRetentionPolicy.whenScaled is Delete, and releases change the number of its pods: "+
			"Kubernetes deletes the volumes of those that go; Retain keeps them")
	}
	return out
}

// arm looks for an arm's workload, and for its Service with the ports.
func (l *Live) arm(ctx context.Context, which string, arm workload.Arm, ports []string) (wrong []string) {
	namespace := arm.Deployment.Namespace // the Service is where the workload is
	wrong = l.runs(ctx, which, arm.Deployment)
	s, err := l.kube.CoreV1().Services(namespace).Get(ctx, arm.Service, meta.GetOptions{})
	if err != nil {
		return append(wrong, fmt.Sprintf("%s: Service %s/%s: %s", which, namespace, arm.Service, err))
	}
	var there []string
	for _, p := range s.Spec.Ports {
		there = append(there, portWords(p))
	}
	for _, port := range ports {
		if !slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == port || strconv.Itoa(int(p.Port)) == port }) {
			wrong = append(wrong, fmt.Sprintf("%s: Service %s/%s has no port %s; it has %s", which, namespace,
				arm.Service, port, strings.Join(there, ", ")))
		}
	}
	return wrong
}

func portWords(p core.ServicePort) string {
	if p.Name == "" {
		return strconv.Itoa(int(p.Port))
	}
	return fmt.Sprintf("%d (%s)", p.Port, p.Name)
}

// rights asks for the most that a release writes, as the user that this process is in the cluster.
func (l *Live) rights(ctx context.Context, plan *record.Plan) (wrong []string) {
	needs := append(writes(plan), l.holds(ctx, plan)...)
	for i := range needs {
		n := &needs[i]
		if slices.Contains(needs[:i], *n) {
			continue
		}
		review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: n}}
		answer, err := l.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, meta.CreateOptions{})
		switch {
		case err != nil:
			return append(wrong, "ask for rights: "+err.Error())
		case !answer.Status.Allowed:
			wrong = append(wrong, fmt.Sprintf("may not %s %s in namespace %s", n.Verb, strings.TrimSuffix(n.Resource+"."+n.Group, "."), n.Namespace))
		}
	}
	return wrong
}

// holds are the rights to keep the arms' autoscalers from taking pods away.
func (l *Live) holds(ctx context.Context, plan *record.Plan) (needs []authorization.ResourceAttributes) {
	c := plan.Rollout.Cluster
	if c.Split != nil {
		return nil
	}
	for _, arm := range []workload.Arm{c.Arms.Stable, c.Arms.Canary} {
		scalers, err := l.cluster.Scalers(ctx, arm.Deployment)
		if err != nil {
			return needs // the right to read them is missed elsewhere, too
		}
		for _, s := range scalers {
			needs = append(needs, patching(s))
		}
	}
	return needs
}

// patching is the right to change a workload or an autoscaler.
func patching(n workload.Name) authorization.ResourceAttributes {
	r := kube.ResourceOf(n.Kind)
	return authorization.ResourceAttributes{Group: r.Group, Resource: r.Resource, Verb: "patch", Namespace: n.Namespace}
}

// writes are the rights to what a release of a rollout changes in the cluster.
func writes(plan *record.Plan) []authorization.ResourceAttributes {
	var needs []authorization.ResourceAttributes
	if c := plan.Rollout.Cluster; c.Split == nil {
		namespace := c.Arms.Canary.Deployment.Namespace
		needs = append(needs, authorization.ResourceAttributes{Resource: "services", Verb: "create", Namespace: namespace},
			authorization.ResourceAttributes{Group: "discovery.k8s.io", Resource: "endpointslices", Verb: "list", Namespace: namespace})
	}
	if g := plan.Gateway.Cluster; g != nil {
		needs = append(needs, authorization.ResourceAttributes{Group: "traefik.io", Resource: "ingressroutes", Verb: "patch", Namespace: g.Namespace},
			authorization.ResourceAttributes{Group: "traefik.io", Resource: "traefikservices", Verb: "create", Namespace: g.Namespace})
	}
	if g := plan.Gateway.TCP; g != nil {
		needs = append(needs, authorization.ResourceAttributes{
			Group: "traefik.io", Resource: "ingressroutetcps", Verb: "patch", Namespace: g.Namespace,
		})
	}
	if g := plan.Gateway.Routes; g != nil {
		kinds := map[string]bool{"httproutes": g.Own != nil || len(g.HTTP) > 0, "grpcroutes": len(g.GRPC) > 0}
		for _, kind := range []string{"httproutes", "grpcroutes"} {
			if kinds[kind] {
				needs = append(needs, authorization.ResourceAttributes{
					Group: "gateway.networking.k8s.io", Resource: kind, Verb: "patch", Namespace: g.Namespace,
				})
			}
		}
	}
	for _, arm := range []workload.Arm{plan.Rollout.Cluster.Arms.Stable, plan.Rollout.Cluster.Arms.Canary} {
		needs = append(needs, patching(arm.Deployment))
	}
	if c := plan.Rollout.Cluster; c.Track {
		namespace := c.Arms.Canary.Deployment.Namespace
		needs = append(needs, authorization.ResourceAttributes{Resource: "configmaps", Verb: "list", Namespace: namespace},
			authorization.ResourceAttributes{Resource: "configmaps", Verb: "create", Namespace: namespace})
	}
	for _, step := range plan.Rollout.Steps {
		if job, ok := step.(rollout.Job); ok {
			needs = append(needs, authorization.ResourceAttributes{Group: "batch", Resource: "jobs", Verb: "create", Namespace: job.Namespace})
		}
	}
	return needs
}

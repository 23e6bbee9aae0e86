// Package kubernetes answers the question which of Kubernetes' APIs Serin uses: it has typed clients for those. It replaces
// client-go's package of the same name, whose clients for all groups and versions, with their informers, would add 10 MB of
// unused code to the binary.
package kubernetes

import (
	"fmt"

	appsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	authenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	autoscalingv2 "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	batchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"
	policyv1 "k8s.io/client-go/kubernetes/typed/policy/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// Interface has a client for each API. Client-go's own Interface, which tests use, satisfies it.
type Interface interface {
	AppsV1() appsv1.AppsV1Interface
	AuthenticationV1() authenticationv1.AuthenticationV1Interface
	AuthorizationV1() authorizationv1.AuthorizationV1Interface
	AutoscalingV2() autoscalingv2.AutoscalingV2Interface
	BatchV1() batchv1.BatchV1Interface
	CoreV1() corev1.CoreV1Interface
	DiscoveryV1() discoveryv1.DiscoveryV1Interface
	PolicyV1() policyv1.PolicyV1Interface
}

type clients struct {
	apps           *appsv1.AppsV1Client
	authentication *authenticationv1.AuthenticationV1Client
	authorization  *authorizationv1.AuthorizationV1Client
	autoscaling    *autoscalingv2.AutoscalingV2Client
	batch          *batchv1.BatchV1Client
	core           *corev1.CoreV1Client
	discovery      *discoveryv1.DiscoveryV1Client
	policy         *policyv1.PolicyV1Client
}

// NewForConfig makes clients that share their connections and the limit of c.QPS requests per second, without sending a
// request. Its error says what is wrong with c.
func NewForConfig(c *rest.Config) (Interface, error) {
	shared := *c // shallow on purpose: when c's owner renews a token, these clients use the new one
	if shared.UserAgent == "" {
		shared.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	if shared.RateLimiter == nil && shared.QPS > 0 {
		if shared.Burst <= 0 {
			return nil, fmt.Errorf("a burst of %d requests: expected at least 1", shared.Burst)
		}
		shared.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(shared.QPS, shared.Burst)
	}
	h, err := rest.HTTPClientFor(&shared)
	if err != nil {
		return nil, err
	}
	var k clients
	for _, connect := range []func() error{
		func() (err error) { k.apps, err = appsv1.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.authentication, err = authenticationv1.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.authorization, err = authorizationv1.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.autoscaling, err = autoscalingv2.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.batch, err = batchv1.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.core, err = corev1.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.discovery, err = discoveryv1.NewForConfigAndClient(&shared, h); return },
		func() (err error) { k.policy, err = policyv1.NewForConfigAndClient(&shared, h); return },
	} {
		if err := connect(); err != nil {
			return nil, err
		}
	}
	return &k, nil
}

func (k *clients) AppsV1() appsv1.AppsV1Interface { return k.apps }

func (k *clients) AuthenticationV1() authenticationv1.AuthenticationV1Interface {
	return k.authentication
}

func (k *clients) AuthorizationV1() authorizationv1.AuthorizationV1Interface { return k.authorization }

func (k *clients) AutoscalingV2() autoscalingv2.AutoscalingV2Interface { return k.autoscaling }

func (k *clients) BatchV1() batchv1.BatchV1Interface { return k.batch }

func (k *clients) CoreV1() corev1.CoreV1Interface { return k.core }

func (k *clients) DiscoveryV1() discoveryv1.DiscoveryV1Interface { return k.discovery }

func (k *clients) PolicyV1() policyv1.PolicyV1Interface { return k.policy }

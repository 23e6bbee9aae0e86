// Package kube answers whose a bearer token of the cluster is, and what its owner may do to rollouts. Both are asked of the
// API server (TokenReview, SubjectAccessReview), which has Kubernetes' own answer: Roles and their bindings decide, and a
// right that is taken away is gone here as well, after [Config.Remember].
//
// It keeps no rights of its own and knows no role of Serin's. Start reading at [Cluster.Verify].
package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/server"
)

const (
	// defaultRemember is long enough for a page with hundreds of rollouts, and short enough for a right that was taken away.
	defaultRemember = 10 * time.Second
	// maxAnswers are kept at once; beyond that, all are forgotten.
	maxAnswers = 20_000
	// The objects that rights are asked about.
	group, resource = "serin.dev", "rollouts"
)

// Config is what a [Cluster] needs.
type Config struct {
	// REST says where the API server is and who asks; that one has to be able to create TokenReviews and
	// SubjectAccessReviews (the ClusterRole system:auth-delegator).
	REST *rest.Config
	// Audiences of which a token has to be for one; without any it is the API server's own.
	Audiences []string
	// Remember is how long an answer holds; 0 is ten seconds.
	Remember time.Duration
}

// Cluster asks one cluster. Its methods may be called at the same time.
type Cluster struct {
	client    kubernetes.Interface
	audiences []string
	remember  time.Duration

	keys   *keys
	asking singleflight.Group // questions about rights

	mu     sync.Mutex // guards what follows
	good   map[[sha256.Size]byte]verified
	wrong  map[[sha256.Size]byte]time.Time // tokens that the cluster does not know, until when that holds
	access map[access]decided
}

var _ server.Authenticator = (*Cluster)(nil)

// verified says whose token it is.
type verified struct {
	who   authenticationv1.UserInfo
	until time.Time
}

// access is one question about rights.
type access struct{ user, verb, namespace, name string }

type decided struct {
	allowed bool
	until   time.Time
}

// New makes a cluster without sending a request.
func New(c Config) (*Cluster, error) {
	client, err := kubernetes.NewForConfig(c.REST)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	if c.Remember == 0 {
		c.Remember = defaultRemember
	}
	return &Cluster{
		client: client, audiences: c.Audiences, remember: c.Remember, keys: &keys{api: client.CoreV1().RESTClient()},
		good: map[[sha256.Size]byte]verified{}, wrong: map[[sha256.Size]byte]time.Time{}, access: map[access]decided{},
	}, nil
}

// Genuine implements [server.Authenticator]. A token that was valid once stays recognized, even while thousands of
// wrong ones arrive.
func (c *Cluster) Genuine(ctx context.Context, token string) bool {
	c.mu.Lock()
	_, ok := c.good[sha256.Sum256([]byte(token))]
	c.mu.Unlock()
	return ok || c.keys.signed(ctx, token)
}

// Verify says whose a token is. Its owner's groups are roles that gates may name as approvers; what else they may do, the
// API server is asked each time.
func (c *Cluster) Verify(ctx context.Context, token string) (server.Identity, error) {
	sum, now := sha256.Sum256([]byte(token)), time.Now()
	c.mu.Lock()
	v, wrong := c.good[sum], c.wrong[sum]
	c.mu.Unlock()
	switch {
	case now.Before(wrong):
		return server.Identity{}, server.ErrUnknownToken
	case now.Before(v.until):
		return c.identity(v.who), nil
	}
	review, err := c.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: c.audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		return server.Identity{}, fmt.Errorf("ask the cluster whose a token is: %w", err)
	}
	until := time.Now().Add(c.remember)
	c.mu.Lock()
	defer c.mu.Unlock()
	who := review.Status.User
	if !review.Status.Authenticated || who.Username == "" || !c.meant(review.Status.Audiences) {
		delete(c.good, sum)
		keep(c.wrong, sum, until)
		return server.Identity{}, server.ErrUnknownToken
	}
	delete(c.wrong, sum)
	keep(c.good, sum, verified{who, until})
	return c.identity(who), nil
}

// identity is how a user of the cluster is called here: one of Serin's own tokens has neither @ nor : in its name, and
// nor has an author of events such as the judge, so that no user can impersonate them.
func (c *Cluster) identity(who authenticationv1.UserInfo) server.Identity {
	name := who.Username
	if !strings.ContainsAny(name, "@:") {
		name = "cluster:" + name
	}
	return server.Identity{Name: name, Roles: who.Groups, Rights: rights{c, who}}
}

// keep adds an answer; beyond maxAnswers all others are forgotten.
func keep[K comparable, V any](answers map[K]V, k K, v V) {
	if len(answers) >= maxAnswers {
		clear(answers)
	}
	answers[k] = v
}

// meant reports whether a token is for one of the audiences that were asked for. A cluster whose authenticator knows
// nothing of audiences answers without any, and takes every token of its own.
func (c *Cluster) meant(audiences []string) bool {
	return len(c.audiences) == 0 || slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(c.audiences, a) })
}

// rights are those of one person or program of the cluster.
type rights struct {
	cluster *Cluster
	who     authenticationv1.UserInfo
}

// May implements [server.Rights]. A rollout in a file belongs to no namespace, and neither does the daemon: what is asked
// about them has to be allowed in all.
func (r rights) May(ctx context.Context, verb server.Verb, rolloutName string) (bool, error) {
	everywhere, err := r.may(ctx, verb, "", "")
	if everywhere || err != nil {
		return everywhere, err
	}
	namespace, name, object := strings.Cut(rolloutName, ".")
	if !object {
		return false, nil
	}
	if all, err := r.may(ctx, verb, namespace, ""); all || err != nil {
		return all, err
	}
	return r.may(ctx, verb, namespace, name)
}

func (r rights) may(ctx context.Context, verb server.Verb, namespace, name string) (bool, error) {
	c := r.cluster
	asked := access{r.user(), string(verb), namespace, name}
	c.mu.Lock()
	d, ok := c.access[asked]
	c.mu.Unlock()
	if ok && time.Now().Before(d.until) {
		return d.allowed, nil
	}
	answer, err, _ := c.asking.Do(fmt.Sprint(asked), func() (any, error) { return r.ask(ctx, asked, verb) })
	d, _ = answer.(decided)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		d, err = r.ask(ctx, asked, verb) // another request asked, and its caller has left
	}
	return d.allowed, err
}

// ask asks the API server, and keeps its answer.
func (r rights) ask(ctx context.Context, asked access, verb server.Verb) (decided, error) {
	c := r.cluster
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range r.who.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: r.who.Username, UID: r.who.UID, Groups: r.who.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: string(verb), Group: group, Version: "*", Resource: resource, Namespace: asked.namespace, Name: asked.name,
			},
		},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return decided{}, fmt.Errorf("ask the cluster what %s may do: %w", r.who.Username, err)
	case review.Status.EvaluationError != "" && !review.Status.Allowed && !review.Status.Denied:
		return decided{}, errors.New("the cluster cannot tell what " + r.who.Username + " may do: " + review.Status.EvaluationError)
	}
	d := decided{review.Status.Allowed && !review.Status.Denied, time.Now().Add(c.remember)}
	c.mu.Lock()
	defer c.mu.Unlock()
	keep(c.access, asked, d)
	return d, nil
}

// user tells users apart: two with one name may have other groups.
func (r rights) user() string {
	return fmt.Sprintf("%q %q %q %v", r.who.Username, r.who.UID, r.who.Groups, r.who.Extra)
}

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/server"
)

// namespaces knows which receivers the Namespaces ask for ([config.NamespaceNotify]). A Namespace is read by its name when there
// is something to say about one of its rollouts, so that the right to get it suffices, and nothing is asked at rest.
type namespaces struct {
	client kubernetes.Interface
	spec   *config.DaemonSpec
	log    *slog.Logger

	mu   sync.Mutex // guards what follows
	read map[string]*namespace
}

// namespace is what is known of one.
type namespace struct {
	at    time.Time // of the last question
	text  string
	asked []record.Asked
	// wrong is the problem with its annotation, denied why it cannot be read; nil for none.
	wrong, denied error
}

const (
	// namespaceFresh is how long it is not asked again after a question that failed, so that many messages wait once.
	namespaceFresh = 10 * time.Second
	// namespaceTimeout bounds one question. Messages wait for it, so it is short; what was known before then counts.
	namespaceTimeout = 3 * time.Second
)

// newNamespaces is nil for a daemon without a cluster, or whose receivers nobody may ask for.
func newNamespaces(o Options) (*namespaces, error) {
	if !slices.ContainsFunc(o.Spec.Notify, func(n config.NotifySpec) bool { return n.OnRequest }) {
		return nil, nil //nolint:nilnil // it is as it says
	}
	c, err := clusterConfig(o)
	if c == nil || err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &namespaces{client: client, spec: o.Spec, log: o.Log, read: map[string]*namespace{}}, nil
}

// asked are the receivers that a namespace asks for. While it cannot be read, those that were known last count.
func (n *namespaces) asked(ctx context.Context, name string) []record.Asked {
	n.mu.Lock()
	known := n.read[name]
	n.mu.Unlock()
	if known != nil && known.denied != nil && time.Since(known.at) < namespaceFresh {
		return known.asked
	}
	asking, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	object, err := n.client.CoreV1().Namespaces().Get(asking, name, metav1.GetOptions{})
	next := &namespace{at: time.Now()}
	switch {
	case apierrors.IsNotFound(err): // a release of a namespace that is being deleted; it asks for nothing
	case err != nil:
		if known != nil {
			next.text, next.asked, next.wrong = known.text, known.asked, known.wrong
		}
		next.denied = fmt.Errorf("get namespace %s: %w", name, err)
	default:
		next.text = object.Annotations[config.NamespaceNotify]
		next.asked, next.wrong = n.spec.AskedBy(name, next.text)
	}
	n.tell(name, known, next)
	n.mu.Lock()
	n.read[name] = next
	n.mu.Unlock()
	return next.asked
}

// tell logs what has not been logged before.
func (n *namespaces) tell(name string, before, now *namespace) {
	if now.denied != nil && (before == nil || before.denied == nil) {
		n.log.Warn("a namespace's own receivers are not known", "namespace", name, "err", now.denied)
	}
	if now.wrong != nil && (before == nil || before.text != now.text) {
		n.log.Warn("a namespace asks for receivers in a wrong way", "namespace", name, "annotation", config.NamespaceNotify, "err", now.wrong)
	}
}

// problems are the annotations that are wrong, as the API shows them. They name no rollouts: none is kept at an older version.
func (n *namespaces) problems() (out []server.ConfigProblem) {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(n.read)) {
		if wrong := n.read[name].wrong; wrong != nil {
			out = append(out, server.ConfigProblem{
				File: "Namespace " + name, Path: "metadata.annotations." + config.NamespaceNotify,
				Text: strings.ReplaceAll(wrong.Error(), "\n", "; "), Warning: true,
			})
		}
	}
	return out
}

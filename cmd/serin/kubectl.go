package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport"
	"k8s.io/client-go/transport/spdy"

	"github.com/serindev/serin/config"
	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/server/client"
)

// The names under which kubectl finds this program: as kubectl serin, and to complete its command line.
const (
	pluginName    = "kubectl-serin"
	completerName = "kubectl_complete-serin"
)

// isNamed reports whether this program was called by a name.
func isNamed(path, name string) bool { return strings.TrimSuffix(filepath.Base(path), ".exe") == name }

// plugin is what kubectl serin knows about a cluster.
type plugin struct {
	kubeconfig, context, namespace, home string
	stop                                 chan struct{} // ends the forwarding
}

// serinSelector finds Serin's Service: the chart and the kustomize base label it so.
const serinSelector = "app.kubernetes.io/name=serin"

// defaultHome is the namespace in which Serin is looked for.
const defaultHome = "serin"

// findTimeout bounds how long finding Serin's pod and connecting to it may take.
const findTimeout = 30 * time.Second

// pluginRoot returns the commands of kubectl serin: those that speak to the daemon, with kubectl's words and flags.
func (a *app) pluginRoot() *cobra.Command {
	root := a.root()
	root.Use, root.Short = "kubectl-serin", "Serin's releases, with the kubeconfig's cluster and rights"
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl serin"}
	for _, c := range root.Commands() {
		if (c.GroupID != groupRelease && c.GroupID != groupLook) || c.Flags().Lookup("server") == nil {
			if c.Name() != "version" {
				root.RemoveCommand(c)
			}
			continue
		}
		switch c.Name() {
		case "status":
			c.Aliases = append(c.Aliases, "get", "list")
		case "history":
			c.Aliases = append(c.Aliases, "logs")
		}
		c.Flags().Lookup("server").Usage = "address of the daemon, instead of a forwarded port (env SERIN_SERVER)"
	}
	f := root.PersistentFlags()
	f.StringVar(&a.plugin.kubeconfig, "kubeconfig", "", "kubeconfig to use (env KUBECONFIG)")
	f.StringVar(&a.plugin.context, "context", "", "context of the kubeconfig")
	f.StringVarP(&a.plugin.namespace, "namespace", "n", "", "namespace of the rollout; the context's by default")
	f.StringVar(&a.plugin.home, "serin-namespace", "", "namespace in which Serin runs (env SERIN_NAMESPACE; default "+defaultHome+")")
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
			return nil // its arguments are a whole command line
		}
		return a.nameInCluster(args)
	}
	return root
}

// clientConfig combines the kubeconfig and the flags.
func (p *plugin) clientConfig() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = p.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: p.context}
	overrides.Context.Namespace = p.namespace
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}

// nameInCluster turns the name of a Rollout object into the name that the daemon gives it: in a context with the namespace
// pro, both shop and pro/shop become pro.shop.
func (a *app) nameInCluster(args []string) error {
	if len(args) == 0 || isRelease(args[0]) || strings.Contains(args[0], ".") {
		return nil
	}
	namespace, name, both := strings.Cut(args[0], "/")
	if !both {
		var err error
		name = args[0]
		if namespace, _, err = a.plugin.clientConfig().Namespace(); err != nil {
			return fmt.Errorf("kubeconfig: %w", err)
		}
	}
	args[0] = config.ObjectID{Namespace: namespace, Name: name}.String()
	return nil
}

// typed returns what turns the daemon's name of a rollout into the one that is written on this command line: the opposite of
// [app.nameInCluster].
func (a *app) typed() func(name string) string {
	same := func(name string) string { return name }
	if a.plugin == nil {
		return same
	}
	namespace, _, err := a.plugin.clientConfig().Namespace()
	if err != nil {
		return same
	}
	return func(name string) string {
		if short, own := strings.CutPrefix(name, namespace+"."); own && !strings.Contains(short, ".") {
			return short
		}
		return name
	}
}

// pluginClient returns a client that speaks to the daemon with the kubeconfig's token, through a forwarded port unless an
// address is given.
func (a *app) pluginClient() (*client.Client, error) {
	c, err := a.plugin.clientConfig().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	token, err := a.pluginToken(c)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errors.New("the kubeconfig signs in without a token (with a certificate, say), and a token is " +
			"all that Serin can check: pass one, " +
			`as in SERIN_TOKEN=$(kubectl create token ACCOUNT) kubectl serin …`)
	}
	if server := cmp.Or(a.server, a.getenv("SERIN_SERVER")); server != "" {
		return client.New(server, token, a.transport)
	}
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	server, err := a.plugin.forward(ctx, c, cmp.Or(a.plugin.home, a.getenv("SERIN_NAMESPACE")))
	if err != nil {
		return nil, err
	}
	// The API server authenticates the connection to the pod. The pod's own certificate cannot be checked: it is for the
	// Service's name, and this machine does not know the authority that issued it.
	return client.New(server, token, &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}) //nolint:gosec // see above
}

// forwards reports whether the daemon is reached through a forwarded port, which ends with its pod.
func (a *app) forwards() bool {
	return a.plugin != nil && a.server == "" && a.getenv("SERIN_SERVER") == ""
}

// pluginToken returns the token given by flag or environment, or else the kubeconfig's.
func (a *app) pluginToken(c *rest.Config) (string, error) {
	if a.tokenFile == "" {
		if given := strings.TrimSpace(a.getenv("SERIN_TOKEN")); given != "" {
			return given, nil
		}
	}
	if file := cmp.Or(a.tokenFile, a.getenv("SERIN_TOKEN_FILE")); file != "" {
		return readToken(file)
	}
	token, err := tokenOf(c)
	return strings.TrimSpace(token), err
}

// captured is a transport that sends nothing and only records what a request would carry.
type captured struct{ header string }

func (c *captured) RoundTrip(r *http.Request) (*http.Response, error) {
	c.header = r.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
}

// tokenOf returns the bearer token that a kubeconfig signs in with: written in it, in a file, or printed by a program
// (exec). It is empty if there is none.
func tokenOf(c *rest.Config) (string, error) {
	tc, err := c.TransportConfig()
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	var seen captured
	rt, err := transport.HTTPWrappersForConfig(tc, &seen)
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://kubernetes.default.svc/", http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("sign in with the kubeconfig: %w", err)
	}
	_ = res.Body.Close() // it is empty
	token, _ := strings.CutPrefix(seen.header, "Bearer ")
	if token == seen.header {
		return "", nil
	}
	return token, nil
}

// forward finds Serin's pod and forwards a port of this machine to it until the process ends.
func (p *plugin) forward(ctx context.Context, c *rest.Config, home string) (server string, err error) {
	k, err := kubernetes.NewForConfig(c)
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	pod, port, err := findSerin(ctx, k, home)
	if err != nil {
		return "", err
	}
	dialer, err := dialerTo(k, c, pod)
	if err != nil {
		return "", err
	}
	if p.stop != nil {
		close(p.stop) // the previous one, whose pod is gone
	}
	p.stop = make(chan struct{})
	ready := make(chan struct{})
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, p.stop, ready, io.Discard, io.Discard)
	if err != nil {
		return "", fmt.Errorf("forward a port to pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- f.ForwardPorts() }()
	select {
	case err := <-failed:
		return "", fmt.Errorf("forward a port to pod %s/%s (this needs the right to create pods/portforward there): %w", pod.Namespace, pod.Name, err)
	case <-ctx.Done():
		return "", fmt.Errorf("forward a port to pod %s/%s: %w", pod.Namespace, pod.Name, ctx.Err())
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil {
		return "", fmt.Errorf("forward a port to pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0].Local)
	return scheme(ctx, address) + "://" + address, nil
}

// scheme is https unless the server does not speak TLS: a chart with tls.insecure.
func scheme(ctx context.Context, address string) string {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see pluginClient
	conn, err := d.DialContext(ctx, "tcp", address)
	if conn != nil {
		_ = conn.Close() // nothing was sent
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return "http"
	}
	return "https"
}

// findSerin finds a ready pod behind Serin's Service, and its port.
func findSerin(ctx context.Context, k kubernetes.Interface, home string) (*corev1.Pod, int32, error) {
	services, err := k.CoreV1().Services(cmp.Or(home, defaultHome)).List(ctx, metav1.ListOptions{LabelSelector: serinSelector})
	if err != nil {
		return nil, 0, fmt.Errorf("find Serin's Service (--serin-namespace says where it is): %w", err)
	}
	if len(services.Items) == 0 {
		return nil, 0, notFound(ctx, k, cmp.Or(home, defaultHome))
	}
	s := &services.Items[0]
	if len(s.Spec.Selector) == 0 {
		return nil, 0, fmt.Errorf("the Service %s/%s selects no pods", s.Namespace, s.Name)
	}
	pods, err := k.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(s.Spec.Selector).String()})
	if err != nil {
		return nil, 0, fmt.Errorf("find Serin's pod in namespace %s: %w", s.Namespace, err)
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; slices.ContainsFunc(pod.Status.Conditions, isReady) {
			if port, ok := portOf(s, pod); ok {
				return pod, port, nil
			}
		}
	}
	return nil, 0, fmt.Errorf("no pod behind Service %s/%s is ready", s.Namespace, s.Name)
}

// notFound says where Serin may be. Serin is looked for only in the namespace that the caller has named: the caller's token
// goes there, and anyone who may create a Service in some namespace can put the label on it.
func notFound(ctx context.Context, k kubernetes.Interface, home string) error {
	elsewhere := ""
	if all, err := k.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: serinSelector}); err == nil {
		var namespaces []string
		for i := range all.Items {
			namespaces = append(namespaces, all.Items[i].Namespace)
		}
		slices.Sort(namespaces)
		if namespaces = slices.Compact(namespaces); len(namespaces) > 0 {
			elsewhere = fmt.Sprintf(". Services with that label are in: %s. Name the one that may have your token "+
				"with --serin-namespace (or SERIN_NAMESPACE)",
				strings.Join(namespaces, ", "))
		}
	}
	return fmt.Errorf("there is no Service with the label %s in namespace %s: --serin-namespace says where Serin is, "+
		"--server at which address%s", serinSelector, home, elsewhere)
}

func isReady(c corev1.PodCondition) bool {
	return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
}

// portOf returns the pod's port that the Service's port http leads to.
func portOf(s *corev1.Service, pod *corev1.Pod) (int32, bool) {
	for _, p := range s.Spec.Ports {
		if p.Name != "http" {
			continue
		}
		if p.TargetPort.StrVal == "" {
			return cmp.Or(p.TargetPort.IntVal, p.Port), true
		}
		for i := range pod.Spec.Containers {
			for _, own := range pod.Spec.Containers[i].Ports {
				if own.Name == p.TargetPort.StrVal {
					return own.ContainerPort, true
				}
			}
		}
	}
	return 0, false
}

// dialerTo connects as kubectl port-forward does: over a WebSocket, or over SPDY if the API server is older.
func dialerTo(k kubernetes.Interface, c *rest.Config, pod *corev1.Pod) (httpstream.Dialer, error) {
	to := k.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	rt, upgrader, err := spdy.RoundTripperFor(c)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: rt}, http.MethodPost, (*url.URL)(to))
	socket, err := portforward.NewSPDYOverWebsocketDialer(to, c)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return portforward.NewFallbackDialer(socket, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

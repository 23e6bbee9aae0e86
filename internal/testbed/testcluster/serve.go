package testcluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/serindev/serin/internal/testbed"
)

// answer answers for the pod whose address was dialled. If there is none, it closes the connection.
func (p *pods) answer(w http.ResponseWriter, r *http.Request) {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	pod := p.addresses.at(r.Context(), address.IP.String())
	if pod == nil || !runs(pod) || !p.mine(pod.Namespace) {
		// The user of the gateway then gets a 502: the output of a failed test has to show whether that was the
		// testbed's fault.
		fmt.Printf("testcluster: no running pod for %s at %s: %s\n", r.Host, address, p.addresses.state(address.IP.String()))
		panic(http.ErrAbortHandler)
	}
	i := p.image(pod.Namespace, pod.Spec.Containers[0].Image)
	p.mu.Lock()
	handler := i.Handler
	p.mu.Unlock()
	if handler == nil {
		handler = i.fallback
	}
	recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	handler.ServeHTTP(recorder, r.WithContext(context.WithValue(r.Context(), podKey{}, pod)))
	p.count(pod, recorder.status)
}

// podKey is the context key of the pod that a request has reached.
type podKey struct{}

// Env is the value of a variable of the pod that a request has reached, for an [Image.Handler]; empty if its first
// container has none of that name.
func Env(r *http.Request, name string) string {
	pod, ok := r.Context().Value(podKey{}).(*corev1.Pod)
	if !ok {
		return ""
	}
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func runs(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			return true
		}
	}
	return false
}

func (p *pods) count(pod *corev1.Pod, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.asked[pod.Namespace]
	if in == nil {
		in = map[string]*Pod{}
		p.asked[pod.Namespace] = in
	}
	if in[pod.Name] == nil {
		in[pod.Name] = &Pod{Name: pod.Name, Image: pod.Spec.Containers[0].Image, Owner: owner(pod), Status: map[int]int{}}
	}
	in[pod.Name].Status[status]++
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// serveKubelet serves the parts of a kubelet's API that are used here: container logs and port forwarding. It chooses
// the node's port.
func (p *pods) serveKubelet(ca *testbed.Authority) error {
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := ca.Serve(nodeIP)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp4", net.JoinHostPort(nodeIP, strconv.Itoa(port)), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}) //nolint:noctx // it returns at once
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", p.logs)
	mux.HandleFunc("/portForward/{namespace}/{pod}", p.forward)
	p.kubelet = port
	p.serve(l, mux)
	return nil
}

// serve runs a server until the pods are closed.
func (p *pods) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	if _, pods := l.(switched); pods {
		s.Protocols = testbed.WithoutTLS()
	}
	p.servers = append(p.servers, s)
	p.running.Go(func() { s.Serve(l) }) //nolint:errcheck,gosec // it ends with the cluster
}

// logs answers with the last lines of a container's log.
func (p *pods) logs(w http.ResponseWriter, r *http.Request) {
	o, there, err := p.store.GetByKey(r.PathValue("namespace") + "/" + r.PathValue("pod"))
	pod, ok := o.(*corev1.Pod)
	if err != nil || !there || !ok {
		http.NotFound(w, r)
		return
	}
	for _, container := range pod.Spec.Containers {
		if container.Name != r.PathValue("container") {
			continue
		}
		i := p.image(pod.Namespace, container.Image)
		p.mu.Lock()
		text := i.Log
		p.mu.Unlock()
		if text == "" {
			text = container.Image + " has started\n"
		}
		all := strings.SplitAfter(strings.TrimSuffix(text, "\n")+"\n", "\n")
		all = all[:len(all)-1]
		if n, err := strconv.Atoi(r.FormValue("tailLines")); err == nil && n >= 0 && n < len(all) {
			all = all[len(all)-n:]
		}
		text = strings.Join(all, "")
		if n, err := strconv.Atoi(r.FormValue("limitBytes")); err == nil && n >= 0 && n < len(text) {
			text = text[:n]
		}
		io.WriteString(w, text) //nolint:errcheck,gosec // the client may have gone
		return
	}
	http.NotFound(w, r)
}

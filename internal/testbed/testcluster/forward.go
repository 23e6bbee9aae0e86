package testcluster

import (
	"io"
	"net"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
)

// forward forwards connections to a pod's ports, as a kubelet does for kubectl port-forward: two streams for each
// connection, one for the data and one for an error.
func (p *pods) forward(w http.ResponseWriter, r *http.Request) {
	o, there, err := p.store.GetByKey(r.PathValue("namespace") + "/" + r.PathValue("pod"))
	pod, ok := o.(*corev1.Pod)
	if err != nil || !there || !ok || pod.Status.PodIP == "" {
		http.NotFound(w, r)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		return // it has been answered
	}
	streams := make(chan httpstream.Stream, 16)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return // it has been answered
	}
	defer conn.Close() //nolint:errcheck // nothing is read from it any more
	failures := map[string]httpstream.Stream{}
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-conn.CloseChan():
			return
		case s := <-streams:
			id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				failures[id] = s
				continue
			}
			failure := failures[id]
			running.Go(func() { pipe(s, failure, net.JoinHostPort(pod.Status.PodIP, s.Headers().Get(corev1.PortHeader))) })
		}
	}
}

// pipe copies data in both directions until both ends are closed.
func pipe(data, failure httpstream.Stream, address string) {
	defer data.Close() //nolint:errcheck // its other end reads until it is closed
	if failure != nil {
		defer failure.Close() //nolint:errcheck // see above
	}
	conn, err := net.Dial("tcp", address) //nolint:noctx,gosec // a pod's address in this network namespace, which answers at once
	if err != nil {
		if failure != nil {
			_, _ = io.WriteString(failure, err.Error())
		}
		return
	}
	defer conn.Close() //nolint:errcheck // everything has been written
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(data, conn) })
	_, _ = io.Copy(conn, data) // the client has ended its half
	if half, ok := conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	both.Wait()
}

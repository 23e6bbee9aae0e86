package testcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// known is how long a connection waits for its pod to become known here: on a loaded machine, the gateway may learn of
// it seconds earlier. A connection to a pod that has ended does not wait: the gateway tries such pods one after the
// other, and would wait for each.
const known = 10 * time.Second

// lingers is how long an address answers after its pod has ended. Most real pods answer for a while after they were
// asked to end, to give the gateway time to notice, which takes ten seconds on a loaded machine. If the pod itself
// stayed that long, every release would wait for it.
const lingers = 20 * time.Second

// switchboard listens on the ports of all pods of a cluster, and hands each connection to the process that answers for
// the pod's namespace, through that process's socket: several test binaries share a cluster, and each answers for the
// pods of its own tests.
type switchboard struct {
	owners  owners
	pods    *addresses
	ctx     context.Context //nolint:containedctx // of all connections
	stop    context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex // guards listeners
	listeners map[int32]net.Listener
}

func startSwitchboard(o owners, client kubernetes.Interface) (*switchboard, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &switchboard{owners: o, pods: newAddresses(), ctx: ctx, stop: stop, listeners: map[int32]net.Listener{}}
	factory := informers.NewSharedInformerFactory(client, 0)
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(handle(s.podChanged))
	_, err2 := factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(handle(s.sliceChanged))
	if err := errors.Join(err, err2); err != nil {
		stop()
		return nil, err
	}
	factory.Start(ctx.Done())
	return s, nil
}

func (s *switchboard) close() {
	s.stop()
	s.mu.Lock()
	for _, l := range s.listeners {
		l.Close() //nolint:errcheck,gosec // nobody connects any more
	}
	s.mu.Unlock()
	s.running.Wait()
}

// podChanged is called for every pod that was created, changed or deleted.
func (s *switchboard) podChanged(pod *corev1.Pod, there bool) {
	s.pods.put(pod, there)
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			s.listen(port.ContainerPort)
		}
	}
}

// sliceChanged listens on the ports that Services lead to, which pods need not declare.
func (s *switchboard) sliceChanged(slice *discoveryv1.EndpointSlice, there bool) {
	if !there {
		return
	}
	for _, endpoint := range slice.Endpoints {
		if endpoint.TargetRef == nil || endpoint.TargetRef.Kind != "Pod" {
			continue
		}
		for _, port := range slice.Ports {
			if port.Port != nil {
				s.listen(*port.Port)
			}
		}
	}
}

// listen accepts the connections to a port of any pod.
func (s *switchboard) listen(port int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners[port] != nil || s.ctx.Err() != nil {
		return
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{Port: int(port)}) // on all addresses of the tests' own network namespace
	if err != nil {
		panic(fmt.Sprintf("listen on port %d of all pods: %v", port, err)) // the ports of servers are above 18000
	}
	s.listeners[port] = l
	s.running.Go(func() {
		for {
			conn, err := l.AcceptTCP()
			if err != nil {
				return // it was closed
			}
			s.running.Go(func() { s.pass(conn) })
		}
	})
}

// pass hands a connection to the process that answers for the pod that the client has dialled. A client that has
// dialled an address without a pod gets a process too, which ends the connection as a server would.
func (s *switchboard) pass(client *net.TCPConn) {
	defer client.Close() //nolint:errcheck // the process has a copy of it by then, or there is none
	namespace := ""
	if tcp, ok := client.LocalAddr().(*net.TCPAddr); ok {
		if pod := s.pods.at(s.ctx, tcp.IP.String()); pod != nil {
			namespace = pod.Namespace
		}
	}
	owner, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.owners.socket(namespace), Net: "unix"})
	if err != nil {
		return // the process has ended
	}
	defer owner.Close() //nolint:errcheck // everything has been written
	raw, err := client.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck,gosec // it fails if the client has gone
		owner.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(fd)), nil) //nolint:errcheck,gosec // the process may have ended
	})
}

// switched is a listener for the connections that a switchboard hands over.
type switched struct{ *net.UnixListener }

// Accept implements net.Listener.
func (l switched) Accept() (net.Conn, error) {
	for {
		from, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		conn, err := received(from)
		from.Close() //nolint:errcheck,gosec // it is only read from
		if err == nil {
			return conn, nil
		}
	}
}

// received is the connection that a switchboard has sent.
func received(from *net.UnixConn) (net.Conn, error) {
	rights := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := from.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) == 0 {
		return nil, errors.Join(errors.New("a switchboard has sent no connection"), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fds[0]), "a pod's client") //nolint:gosec // a descriptor is positive
	defer file.Close()                                    //nolint:errcheck // the connection has a copy of it
	return net.FileConn(file)
}

// owners is a folder with a file for each namespace that a process answers for: the path of that process's socket.
type owners string

// theRest is the file of the process that answers for all other namespaces. It is no namespace's name.
const theRest = "_"

func (o owners) socket(namespace string) string {
	for _, name := range []string{namespace, theRest} {
		if path, err := os.ReadFile(filepath.Join(string(o), name)); err == nil {
			return string(path)
		}
	}
	return ""
}

func (o owners) claim(namespace, socket string) error {
	return os.WriteFile(filepath.Join(string(o), namespace), []byte(socket), 0o600)
}

func (o owners) release(namespace string) {
	os.Remove(filepath.Join(string(o), namespace)) //nolint:errcheck,gosec // it may never have been claimed
}

// addresses has the pods by their address, including those that ended less than lingers ago.
type addresses struct {
	mu      sync.Mutex // guards what follows
	byIP    map[string]*corev1.Pod
	gone    map[string]bool // addresses whose last pod has ended
	changed chan struct{}   // closed when byIP changes
}

func newAddresses() *addresses {
	return &addresses{byIP: map[string]*corev1.Pod{}, gone: map[string]bool{}, changed: make(chan struct{})}
}

// put records a pod that was created, changed or deleted.
func (a *addresses) put(pod *corev1.Pod, there bool) {
	ip := pod.Status.PodIP
	if ip == "" {
		return
	}
	if !there {
		time.AfterFunc(lingers, func() { a.end(pod) })
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byIP[ip] = pod
	delete(a.gone, ip)
	close(a.changed)
	a.changed = make(chan struct{})
}

// end forgets a pod, unless another has its address by now.
func (a *addresses) end(pod *corev1.Pod) {
	ip := pod.Status.PodIP
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.byIP[ip]; old != nil && old.UID == pod.UID {
		delete(a.byIP, ip)
		a.gone[ip] = true
	}
}

// at is the pod at an address. It waits a while for an unknown one to become known; nil means none.
func (a *addresses) at(ctx context.Context, ip string) *corev1.Pod {
	timer := time.NewTimer(known)
	defer timer.Stop()
	for {
		a.mu.Lock()
		pod, gone, changed := a.byIP[ip], a.gone[ip], a.changed
		a.mu.Unlock()
		if pod != nil || gone {
			return pod
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// state says what is known of an address.
func (a *addresses) state(ip string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch pod := a.byIP[ip]; {
	case pod != nil:
		return fmt.Sprintf("%s/%s is %s", pod.Namespace, pod.Name, pod.Status.Phase)
	case a.gone[ip]:
		return "its pod has ended"
	default:
		return "it is not known"
	}
}

// handle makes a handler of an informer's events, which gets the object and whether it exists.
func handle[T any](handler func(object T, there bool)) cache.ResourceEventHandlerFuncs {
	typed := func(o any, there bool) {
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		if object, ok := o.(T); ok {
			handler(object, there)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { typed(o, true) }, UpdateFunc: func(_, o any) { typed(o, true) }, DeleteFunc: func(o any) { typed(o, false) },
	}
}

package testcluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/serindev/serin/internal/testbed"
)

// Fate is what happens to the pods of an image. It is decided when a pod is bound to the node.
type Fate string

// The fates.
const (
	// Ready at once; the pods of a Job succeed.
	Ready Fate = ""
	// PullError: ImagePullBackOff forever.
	PullError Fate = "pull-error"
	// CrashLoop: CrashLoopBackOff after four restarts.
	CrashLoop Fate = "crash-loop"
	// Hang: it runs, and neither becomes ready nor ends.
	Hang Fate = "hang"
	// Fail: it runs, and ends with exit code 1 at once.
	Fail Fate = "fail"
)

// FateAnnotation holds a pod's fate for kwok's stages; a pod that is [Ready] has none.
const FateAnnotation = "testcluster/fate"

// addressAnnotation holds a pod's address, also for kwok.
const addressAnnotation = "testcluster/address"

// addressesEach is how many addresses a process has for its pods, and blocks how many processes may share a cluster.
const (
	addressesEach = 1 << 15
	blocks        = 1 << 8
)

// Image is what containers made from an image do. A pod does what its first container does.
type Image struct {
	// Handler answers the pods' requests; nil: 200 with the image's tag as version, as a [testbed.Backend] does.
	Handler http.Handler
	Fate    Fate
	// Log is what its containers have written; empty: one line with the image's name.
	Log string
}

// Pod counts the requests that a pod has answered.
type Pod struct {
	Name  string
	Image string
	// Owner is its Deployment, or its Job; empty for none.
	Owner string
	// Status counts the answers by status.
	Status map[int]int
}

// pods binds the pods of this process's namespaces to a node of its own, and answers for them.
type pods struct {
	client    kubernetes.Interface
	owners    owners
	socket    string // through which the switchboard passes on requests to pods
	kubelet   int    // the port of the node
	stop      context.CancelFunc
	running   sync.WaitGroup
	queue     workqueue.TypedRateLimitingInterface[string]
	store     cache.Store
	addresses *addresses
	servers   []*http.Server
	block     uint32        // of the addresses of its pods
	bound     atomic.Uint32 // how many addresses have been given to pods so far

	mu     sync.Mutex // guards what follows
	images map[[2]string]*image
	asked  map[string]map[string]*Pod // by namespace and name
}

type image struct {
	Image
	fallback http.Handler
}

func startPods(ctx context.Context, c *Cluster) (*pods, error) {
	client, err := kubernetes.NewForConfig(typed(c.config(c.relayed, c.Config.BearerToken)))
	if err != nil {
		return nil, err
	}
	p := &pods{
		client: client, owners: c.owners(), images: map[[2]string]*image{}, asked: map[string]map[string]*Pod{}, addresses: newAddresses(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](10*time.Millisecond, time.Second)),
	}
	if err := p.begin(ctx, c); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pods) begin(ctx context.Context, c *Cluster) error {
	watching, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	var err error
	if p.block, err = claimBlock(c.dir); err != nil {
		return fmt.Errorf("choose the addresses of pods: %w", err)
	}
	if err := p.serveKubelet(c.ca); err != nil {
		return err
	}
	p.socket = filepath.Join(c.dir, strconv.Itoa(p.kubelet)+".sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.socket, Net: "unix"})
	if err != nil {
		return err
	}
	p.serve(switched{l}, http.HandlerFunc(p.answer))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: p.node(), Labels: nodeLabels, Annotations: map[string]string{"testcluster/kubelet": strconv.Itoa(p.kubelet)},
	}}
	if _, err := p.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create a node: %w", err)
	}
	factory := informers.NewSharedInformerFactory(p.client, 0)
	informer := factory.Core().V1().Pods().Informer()
	p.store = informer.GetStore()
	if _, err := informer.AddEventHandler(handle(p.podChanged)); err != nil {
		return err
	}
	factory.Start(watching.Done())
	for range 4 {
		p.running.Go(func() { p.bindAll(watching) })
	}
	return nil
}

func (p *pods) close() {
	p.stop()
	p.queue.ShutDown()
	for _, s := range p.servers {
		s.Close() //nolint:errcheck,gosec // there are no clients any more
	}
	p.running.Wait()
}

// node is the name of this process's node.
func (p *pods) node() string { return "node-" + strconv.Itoa(p.kubelet) }

// mine reports whether this process answers for a namespace.
func (p *pods) mine(namespace string) bool { return p.owners.socket(namespace) == p.socket }

// podChanged is called for every pod that was created, changed or deleted.
func (p *pods) podChanged(pod *corev1.Pod, there bool) {
	p.addresses.put(pod, there)
	if there && pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && p.mine(pod.Namespace) {
		p.queue.Add(pod.Namespace + "/" + pod.Name)
	}
}

// bindAll binds what is in the queue until it is shut down.
func (p *pods) bindAll(ctx context.Context) {
	for {
		key, down := p.queue.Get()
		if down {
			return
		}
		if err := p.bind(ctx, key); err != nil && ctx.Err() == nil {
			p.queue.AddRateLimited(key)
		} else {
			p.queue.Forget(key)
		}
		p.queue.Done(key)
	}
}

// nodeLabels are those of every node.
var nodeLabels = map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}

// bind does what a scheduler does: the pod goes to the node, or it is unschedulable.
func (p *pods) bind(ctx context.Context, key string) error {
	o, there, err := p.store.GetByKey(key)
	if err != nil || !there {
		return err
	}
	pod := o.(*corev1.Pod).DeepCopy()
	if pod.Spec.NodeName != "" {
		return nil
	}
	for name, value := range pod.Spec.NodeSelector {
		if nodeLabels[name] != value {
			pod.Status.Conditions = append(slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodScheduled
			}),
				corev1.PodCondition{
					Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.Now(),
					Message: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
				})
			if before := o.(*corev1.Pod).Status.Conditions; slices.ContainsFunc(before,
				func(c corev1.PodCondition) bool { return c.Reason == corev1.PodReasonUnschedulable }) {
				return nil
			}
			_, err := p.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
			return gone(err)
		}
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: p.node()},
	}
	binding.Annotations = map[string]string{addressAnnotation: addressOf(p.block, p.bound.Add(1)).String()}
	if fate := p.image(pod.Namespace, pod.Spec.Containers[0].Image).Fate; fate != Ready {
		binding.Annotations[FateAnnotation] = string(fate)
	}
	return gone(p.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{}))
}

// claimBlock chooses the addresses of a process's pods: a block that no other process of the cluster has.
func claimBlock(dir string) (uint32, error) {
	for block := range uint32(blocks) {
		err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("addresses-%d", block)), 0o700)
		if !errors.Is(err, fs.ErrExist) {
			return block, err
		}
	}
	return 0, errors.New("all addresses of pods are taken")
}

// addressOf is the address of the n-th pod of a process, in podCIDR. No address is used twice in a run: a gateway that
// has not noticed the end of a pod must not reach another pod, and a new pod must not be taken for one that has ended.
func addressOf(block, n uint32) netip.Addr {
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], 10<<24|1<<23|block%blocks*addressesEach|n%addressesEach)
	return netip.AddrFrom4(address)
}

// gone drops the errors which mean that a pod need not be bound any more.
func gone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// image returns what is set for an image in a namespace; an unknown one behaves as usual.
func (p *pods) image(namespace, name string) *image {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := [2]string{namespace, name}
	i := p.images[key]
	if i == nil {
		i = &image{}
		p.images[key] = i
	}
	if i.fallback == nil {
		i.fallback = testbed.Unserved(testbed.Behaviour{Version: tag(name)}, 1)
	}
	return i
}

// tag is what follows the image's name.
func tag(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[i+1:]
	}
	return digest
}

// SetImage says what the containers of an image in a namespace do. Handler and Log apply from now on, the fate to pods
// that are bound from now on.
func (c *Cluster) SetImage(namespace, name string, i Image) {
	known := c.pods.image(namespace, name)
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	known.Image = i
}

// Requests returns the pods of a namespace that have answered requests so far, deleted ones included, in no order.
func (c *Cluster) Requests(namespace string) []Pod {
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	var out []Pod
	for _, p := range c.pods.asked[namespace] {
		one := *p
		one.Status = maps.Clone(p.Status)
		out = append(out, one)
	}
	return out
}

// RequestsByOwner is [Cluster.Requests] summed by Deployment or Job and by status.
func (c *Cluster) RequestsByOwner(namespace string) map[string]map[int]int {
	out := map[string]map[int]int{}
	for _, p := range c.Requests(namespace) {
		if out[p.Owner] == nil {
			out[p.Owner] = map[int]int{}
		}
		for status, n := range p.Status {
			out[p.Owner][status] += n
		}
	}
	return out
}

// forget drops everything that this process keeps for a namespace.
func (p *pods) forget(namespace string) {
	p.owners.release(namespace)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.asked, namespace)
	for key := range p.images {
		if key[0] == namespace {
			delete(p.images, key)
		}
	}
}

// owner is the Deployment, Job or other object that made a pod.
func owner(pod *corev1.Pod) string {
	if len(pod.OwnerReferences) == 0 {
		return ""
	}
	ref := pod.OwnerReferences[0]
	if hash := pod.Labels["pod-template-hash"]; ref.Kind == "ReplicaSet" && hash != "" {
		return strings.TrimSuffix(ref.Name, "-"+hash)
	}
	return ref.Name
}

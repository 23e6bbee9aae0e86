package mirror_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/features"
	clientfeatures "k8s.io/client-go/features/testing"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/internal/kubernetes"
	"github.com/serindev/serin/internal/mirror"
	"github.com/serindev/serin/internal/testbed/testcluster"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// source answers as an API server would; the test sets the answers.
type source struct {
	mu     sync.Mutex // guards what follows
	list   []corev1.ConfigMap
	err    error // of lists and watches
	lists  int
	narrow []string                   // what lists and watches were restricted to
	watch  *watch.RaceFreeFakeWatcher // the latest
	// filling: the latest watch has to begin with what a list would return.
	filling bool
}

func (s *source) List(_ context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.lists++
	s.narrow = append(s.narrow, o.LabelSelector)
	out := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.lists)}}
	for _, o := range s.list {
		out.Items = append(out.Items, *o.DeepCopy())
	}
	return out, nil
}

func (s *source) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.narrow = append(s.narrow, o.LabelSelector)
	s.watch, s.filling = watch.NewRaceFreeFake(), o.SendInitialEvents != nil && *o.SendInitialEvents
	return s.watch, nil
}

func (s *source) set(err error, list ...corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.list = err, list
}

// watched returns the latest watch.
func (s *source) watched() *watch.RaceFreeFakeWatcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch
}

// fills waits for a new watch, which has to begin with what exists, and sends that and the mark that it is complete.
func (s *source) fills(t *testing.T, before *watch.RaceFreeFakeWatcher, list ...corev1.ConfigMap) {
	t.Helper()
	await.True(t, func() bool { return s.watched() != before }, "a watch is opened")
	s.mu.Lock()
	require.True(t, s.filling)
	s.mu.Unlock()
	for _, o := range list {
		s.watched().Add(&o)
	}
	s.watched().Action(watch.Bookmark, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}})
}

func object(name, value string) corev1.ConfigMap {
	return corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "pro", Name: name, Annotations: map[string]string{"much": "text"}},
		Data:       map[string]string{"value": value},
	}
}

// heard collects a mirror's notifications until they are read.
type heard struct {
	mu  sync.Mutex // guards all
	all []string
}

func (h *heard) add(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, text)
}

func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.all
	h.all = nil
	return out
}

func value(o any) string {
	if c, ok := o.(*corev1.ConfigMap); ok {
		if len(c.Annotations) > 0 {
			return c.Name + " unslimmed"
		}
		return c.Name + "=" + c.Data["value"]
	}
	return "-"
}

// configOf tells h all of a mirror.
func configOf(h *heard) mirror.Config {
	return mirror.Config{
		Narrow:   func(o *metav1.ListOptions) { o.LabelSelector = "app=shop" },
		Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		Slim: func(o any) any {
			if c, ok := o.(*corev1.ConfigMap); ok {
				c.Annotations = nil
			}
			return o
		},
		Changed: func(c mirror.Change) {
			text := value(c.Before) + " " + value(c.Now)
			if c.First {
				text += " first"
			}
			h.add(text)
		},
		Answered: func() { h.add("answered") },
		Failed:   func(err error) { h.add(err.Error()) },
	}
}

// running runs a mirror until the test ends.
func running(t *testing.T, m *mirror.Mirror) *mirror.Mirror {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return m
}

// mirrored runs a mirror of a source until the test ends.
func mirrored(t *testing.T, s *source, h *heard) *mirror.Mirror {
	t.Helper()
	t.Cleanup(func() {
		if w := s.watched(); w != nil {
			require.True(t, w.IsStopped(), "no watch is left open")
		}
	})
	return running(t, mirror.Of(s, configOf(h)))
}

// expect waits for notifications, which have to be these, in this order.
func (h *heard) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	await.True(t, func() bool {
		got = append(got, h.take()...)
		return len(got) >= len(want)
	}, "the mirror notifies")
	require.Equal(t, want, got)
}

func TestAMirrorFollowsItsWatch(t *testing.T) {
	t.Parallel()
	s, h := &source{}, &heard{}
	s.set(nil, object("a", "1"))
	m := mirrored(t, s, h)
	h.expect(t, "answered", "- a=1 first", "answered")
	require.Equal(t, []string{"app=shop", "app=shop"}, s.narrow, "the list, and the watch")

	changed, added, gone := object("a", "2"), object("b", "1"), object("a", "2")
	s.watched().Modify(&changed)
	s.watched().Add(&added)
	s.watched().Delete(&gone)
	h.expect(t, "a=1 a=2", "- b=1", "a=2 -")
	require.True(t, m.Current())
	require.Equal(t, []string{"pro/b"}, m.Objects().ListKeys())
	inNamespace, err := m.Objects().ByIndex(cache.NamespaceIndex, "pro")
	require.NoError(t, err)
	require.Len(t, inNamespace, 1)
	kept, there, err := m.Objects().GetByKey("pro/b")
	require.NoError(t, err)
	require.True(t, there)
	require.Empty(t, kept.(*corev1.ConfigMap).Annotations, "annotations are dropped") //nolint:forcetypeassert // it was put there
}

// A caller that trusts a mirror has to learn that it may be out of date, and later what happened meanwhile.
func TestAfterABrokenWatchAMirrorReportsWhatItMissed(t *testing.T) {
	t.Parallel()
	s, h := &source{}, &heard{}
	s.set(nil, object("a", "1"), object("b", "1"), object("c", "1"))
	m := mirrored(t, s, h)
	h.expect(t, "answered", "- a=1 first", "- b=1 first", "- c=1 first", "answered")

	s.set(errors.New("it is away"))
	expired := apierrors.NewResourceExpired("too old").Status()
	s.watched().Error(&expired)
	h.expect(t, "failed to list objects: it is away")
	require.False(t, m.Current(), "no watch is open")
	require.True(t, m.HasFilled())
	require.Len(t, m.Objects().ListKeys(), 3, "known objects are kept")

	s.set(nil, object("a", "1"), object("b", "2"), object("d", "1"))
	await.True(t, m.Current, "a watch is open again")
	said := slices.DeleteFunc(h.take(), func(text string) bool { return strings.Contains(text, "it is away") })
	require.Equal(t, []string{"answered", "a=1 a=1", "b=1 b=2", "- d=1", "c=1 -", "answered"}, said)
}

// The API server ends a watch every few minutes, and the next one continues where it ended.
func TestAWatchThatEndsIsOpenedAgainWithoutAList(t *testing.T) {
	t.Parallel()
	s, h := &source{}, &heard{}
	s.set(nil, object("a", "1"))
	m := mirrored(t, s, h)
	h.expect(t, "answered", "- a=1 first", "answered")
	before, changed := s.watched(), object("a", "2") // a watch without an event is one that failed
	before.Modify(&changed)
	h.expect(t, "a=1 a=2")
	before.Stop()
	h.expect(t, "answered")
	require.NotSame(t, before, s.watched())
	require.True(t, m.Current())
	require.Equal(t, 1, s.lists)
}

func TestWithoutAnAnswerAMirrorIsNotFilled(t *testing.T) {
	t.Parallel()
	s, h := &source{}, &heard{}
	s.set(errors.New("it is forbidden"))
	m := mirrored(t, s, h)
	h.expect(t, "failed to list objects: it is forbidden")
	require.False(t, m.HasFilled())
	require.False(t, m.Current())
	s.set(nil)
	await.True(t, m.Current, "the empty list is known")
	<-m.Filled()
}

// With client-go's feature WatchListClient, a watch is open before the mirror has received its initial events.
func TestAWatchThatBeginsWithAListIsCurrentOnceItIsComplete(t *testing.T) { //nolint:paralleltest // the feature is the process's
	clientfeatures.SetFeatureDuringTest(t, features.WatchListClient, true)
	s, h := &source{}, &heard{}
	m := mirrored(t, s, h)
	h.expect(t, "answered")
	require.False(t, m.HasFilled())
	require.False(t, m.Current())
	s.fills(t, nil, object("a", "1"), object("b", "1"))
	await.True(t, m.Current, "everything has arrived")
	require.ElementsMatch(t, []string{"- a=1 first", "- b=1 first"}, h.take())

	before := s.watched()
	expired := apierrors.NewResourceExpired("too old").Status()
	before.Error(&expired)
	h.expect(t, "answered")
	require.NotSame(t, before, s.watched(), "another watch is open")
	require.False(t, m.Current(), "the mirror has the old state")
	require.Len(t, m.Objects().ListKeys(), 2, "known objects are kept")
	s.fills(t, before, object("a", "2"))
	await.True(t, m.Current, "everything has arrived")
	require.Equal(t, []string{"a=1 a=2", "b=1 -"}, h.take())
	require.Zero(t, s.lists)
}

// lists counts the lists that a client asks for.
type lists struct {
	http.RoundTripper
	n atomic.Int64
}

func (l *lists) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "" {
		l.n.Add(1)
	}
	return l.RoundTripper.RoundTrip(r)
}

// The same by the real API server, which goes and comes back.
func TestAMirrorOfARealAPIServerThatBeginsWithAWatch(t *testing.T) { //nolint:paralleltest // the feature is the process's
	clientfeatures.SetFeatureDuringTest(t, features.WatchListClient, true)
	c := testcluster.Shared(t)
	ns := c.Namespace(t)
	server, address := c.AnotherAPIServer(t)
	config, asked := rest.CopyConfig(c.Config), &lists{}
	config.Host = address
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { asked.RoundTripper = next; return asked })
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	create := func(name string) {
		o := object(name, "1")
		o.Namespace, o.Labels = ns, map[string]string{"app": "shop"}
		_, err := c.Client.CoreV1().ConfigMaps(ns).Create(t.Context(), &o, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	create("a")
	h := &heard{}
	m := running(t, mirror.Of(client.CoreV1().ConfigMaps(ns), configOf(h)))
	await.True(t, m.Current, "all of it is there")
	h.expect(t, "answered", "- a=1 first")
	create("b")
	h.expect(t, "- b=1")

	require.NoError(t, server.Kill())
	await.True(t, func() bool { return !m.Current() }, "the watch is gone")
	require.Len(t, m.Objects().ListKeys(), 2, "what is known is kept")
	require.NoError(t, c.Client.CoreV1().ConfigMaps(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}))
	create("c")
	require.NoError(t, server.Restart(t.Context()))
	await.True(t, func() bool {
		keys := m.Objects().ListKeys()
		slices.Sort(keys)
		return m.Current() && slices.Equal(keys, []string{ns + "/b", ns + "/c"})
	}, "it has what it missed")
	require.Subset(t, h.take(), []string{"a=1 -", "- c=1"})
	require.Zero(t, asked.n.Load(), "nothing was listed")
}

package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/serindev/serin/internal/await"
)

// chats are receivers of messages, each with its own path.
type chats struct {
	url string

	mu  sync.Mutex // guards what follows
	got []string   // receiver and kind
}

func newChats(t *testing.T) *chats {
	t.Helper()
	c := &chats{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ Data struct{ Kind string } }
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, strings.Trim(r.URL.Path, "/")+" "+e.Data.Kind)
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *chats) messages() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.got, ", ")
}

// annotate sets the annotation with which the rollout's Namespace asks for receivers.
func (w *world) annotate(t *testing.T, text string) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{"serin.dev/notify": text}}})
	require.NoError(t, err)
	_, err = w.c.Client.CoreV1().Namespaces().Patch(t.Context(), w.pro, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

// The API server is real, and the daemon has only the right that the chart adds for this.
func TestANamespaceSaysWhereItsMessagesGo(t *testing.T) {
	t.Parallel()
	w := newApplication(t, pipeline)
	w.grant(t, "--set", "daemon.notify[0].onRequest=true")
	c := newChats(t)
	w.configure(t)
	file := filepath.Join(w.dir, "serin.yaml")
	text, err := os.ReadFile(file) //nolint:gosec // of this test
	require.NoError(t, err)
	receivers := "  notify:\n"
	for _, r := range []struct{ name, namespaces string }{{"team", w.pro}, {"others", "elsewhere"}, {"unasked", w.pro}} {
		receivers += fmt.Sprintf("    - {name: %s, onRequest: true, namespaces: [%s], webhook: {url: \"%s/%s\", secret: sixteen bytes or more}}\n", r.name, r.namespaces, c.url, r.name)
	}
	require.NoError(t, os.WriteFile(file, append(text, receivers...), 0o600))

	w.annotate(t, "[{to: team, on: [started]}, {to: others}, {to: taem}]")
	require.Contains(t, strings.Join(w.live(t), "\n"), "the receiver others is for the namespaces elsewhere", "validate --live says so in advance")
	w.begin(t)
	id := w.start(t, image2)
	await.Until(t, "the namespace's receiver gets the message", func() string {
		if got := c.messages(); got != "team started" {
			return "it has received: " + got
		}
		return ""
	})
	var problems []struct{ File, Text string }
	status, body := w.get("/api/v1/config/problems", &problems)
	require.Equal(t, http.StatusOK, status, body)
	require.Len(t, problems, 1)
	require.Equal(t, "Namespace "+w.pro, problems[0].File)
	require.Contains(t, problems[0].Text, "entry 2: the receiver others is for the namespaces elsewhere")
	require.Contains(t, problems[0].Text, `entry 3: the daemon has no receiver "taem" that a rollout may ask for (onRequest: true): did you mean "team"?`)

	w.annotate(t, "[{to: team, on: [finished]}]") // a change takes effect at once
	status, body = w.call(http.MethodPost, "/api/v1/releases/"+id+"/rollback", map[string]string{"reason": "test"}, nil)
	require.Less(t, status, http.StatusMultipleChoices, body)
	w.wait(t, "the release has ended", ended)
	await.Until(t, "the end is reported", func() string {
		if got := c.messages(); got != "team started, team finished" {
			return "it has received: " + got
		}
		return ""
	})
}

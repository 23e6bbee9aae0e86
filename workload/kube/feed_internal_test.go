package kube

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/serindev/serin/workload"
)

// answers are those of an API server; the test sets them.
type answers func(*http.Request) (status int, body string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := a(r)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

const (
	forbids = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "it is forbidden"}`
	allows  = `{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": {"allowed": true}}`
	refuses = `{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": {"allowed": false}}`
	nothing = `{"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}`
)

func answered(t *testing.T, a answers) *Cluster {
	c, err := New(Config{REST: &rest.Config{Host: "http://cluster", Transport: a, QPS: 1000, Burst: 1000}, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return c
}

func TestAllWaitersLearnThatAFeedCannotBeFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		c := answered(t, func(r *http.Request) (int, string) {
			if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
				return http.StatusCreated, refuses
			}
			<-answer
			return http.StatusForbidden, forbids
		})
		var heard atomic.Int32
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Go(func() {
				if _, err := c.feed(t.Context(), pods, "pro"); err != nil {
					heard.Add(1)
				}
			})
		}
		synctest.Wait()
		require.Zero(t, heard.Load())
		close(answer)
		synctest.Wait()
		require.EqualValues(t, 20, heard.Load(), "from the first answer, not from the next one a while later")
		c.Close()
		waiting.Wait()
	})
}

func TestAWaiterGetsTheFeedThatReplacesTheOneItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var may atomic.Bool
		c := answered(t, func(r *http.Request) (int, string) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") && may.Load():
				return http.StatusCreated, allows
			case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
				return http.StatusCreated, refuses
			case r.URL.Query().Has("watch"):
				return http.StatusNotFound, "" // a list is sufficient here
			case strings.Contains(r.URL.Path, "/namespaces/"):
				<-r.Context().Done() // it takes long
			}
			return http.StatusOK, nothing
		})
		var filled atomic.Bool
		var waiting sync.WaitGroup
		waiting.Go(func() {
			_, err := c.feed(t.Context(), pods, "pro")
			filled.Store(err == nil)
		})
		synctest.Wait()
		require.False(t, filled.Load())
		may.Store(true)
		c.Rescope(t.Context())
		synctest.Wait()
		require.True(t, filled.Load())
		c.Close()
		waiting.Wait()
	})
}

// A rollout may have no Deployment, but only Jobs, for example.
func TestAForbiddenWatchIsNotTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var everywhere atomic.Int32
		c := answered(t, func(r *http.Request) (int, string) {
			if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
				return http.StatusCreated, allows
			}
			if !strings.Contains(r.URL.Path, "/namespaces/") {
				everywhere.Add(1)
			}
			return http.StatusForbidden, forbids
		})
		_, err := c.Apply(t.Context(), workload.Target{})
		require.NoError(t, err)
		_, err = c.feed(t.Context(), pods, "pro")
		require.ErrorContains(t, err, "it is forbidden")
		synctest.Wait()
		require.EqualValues(t, 1, everywhere.Load())
		c.Close()
	})
}

package spinnaker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/analysis/promsource"
	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/spinnaker"
	"github.com/serindev/serin/store"
)

// openStore opens a new store in a temporary file.
func openStore(t testing.TB) spinnaker.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "serin.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// value returns the value of a query at a time; NaN is a gap.
type value func(query string, at time.Time) float64

// steady is about 10, with some waves, for every query.
func steady(_ string, at time.Time) float64 {
	return 10 + math.Sin(float64(at.Unix())/100) + 0.3*math.Cos(float64(at.Unix())/7)
}

// madeUp answers range queries over HTTP as Prometheus does, for any time in the past; a real server would have no
// samples for the dates of the golden data.
func madeUp(t testing.TB, f value) *promsource.Source {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if strings.HasSuffix(r.URL.Path, "/values") {
			_, _ = io.WriteString(w, `{"status": "success", "data": ["http_requests_total", "up"]}`)
			return
		}
		from, to, step := seconds(r, "start"), seconds(r, "end"), seconds(r, "step")
		var values []string
		for at := from; at <= to+1e-9; at += step {
			if v := f(r.Form.Get("query"), time.UnixMilli(int64(at*1000))); !math.IsNaN(v) {
				values = append(values, fmt.Sprintf(`[%.3f, "%v"]`, at, v))
			}
		}
		result := ""
		if len(values) > 0 {
			result = `{"metric": {}, "values": [` + strings.Join(values, ",") + `]}`
		}
		_, _ = fmt.Fprintf(w, `{"status": "success", "data": {"resultType": "matrix", "result": [%s]}}`, result)
	}))
	t.Cleanup(server.Close)
	return sourceOf(t, server.URL)
}

func seconds(r *http.Request, name string) float64 {
	f, _ := strconv.ParseFloat(r.Form.Get(name), 64)
	return f
}

func sourceOf(t testing.TB, address string) *promsource.Source {
	t.Helper()
	s, err := promsource.New(promsource.Config{URL: address}, prometheus.NewRegistry())
	require.NoError(t, err)
	return s
}

// client sends requests to a service.
type client struct {
	*spinnaker.Service
	stop func() // stops all work and waits for its end
}

func newService(t testing.TB, o spinnaker.Options) client {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	s := spinnaker.New(o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	stop := func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return client{s, stop}
}

// do sends a request and returns the status and the decoded JSON body, or nil if there is none.
func (c client) do(t testing.TB, method, path string, query map[string]string, body any) (int, any) {
	t.Helper()
	var b []byte
	switch body := body.(type) {
	case nil:
	case []byte:
		b = body
	default:
		var err error
		b, err = json.Marshal(body)
		require.NoError(t, err)
	}
	q := url.Values{}
	for k, v := range query {
		q.Set(k, v)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path+"?"+q.Encode(), bytes.NewReader(b))
	r.Header.Set("Content-Type", "application/json; charset=UTF-8")
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, r)
	if w.Body.Len() == 0 {
		return w.Code, nil
	}
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var out any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return w.Code, out
}

// ended polls until a run or an analysis has ended.
func (c client) ended(t testing.TB, path string) map[string]any {
	t.Helper()
	var last map[string]any
	await.True(t, func() bool {
		status, body := c.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, http.StatusOK, status)
		last = body.(map[string]any)
		return last["complete"] == true
	}, "%s does not end", path)
	return last
}

// golden reads the cases of a file in testdata/spinnaker.
func golden[T any](t testing.TB, name string) []T {
	t.Helper()
	b, err := os.ReadFile("../testdata/spinnaker/" + name)
	require.NoError(t, err)
	var cases []T
	require.NoError(t, json.Unmarshal(b, &cases))
	require.NotEmpty(t, cases)
	return cases
}

// pointer finds a value by its JSON pointer (RFC 6901, without escapes).
func pointer(v any, path string) any {
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// matches says where a body differs from the expected one by the rules in the README of the golden data, and returns ""
// if it does not. With subset, the elements of an array may be anywhere in it.
func matches(want, got any, subset bool, at string) string {
	switch w := want.(type) {
	case map[string]any:
		g, is := got.(map[string]any)
		if !is {
			return fmt.Sprintf("%s: %v is not an object", at, got)
		}
		for k, v := range w {
			if d := matches(v, g[k], subset, at+"/"+k); d != "" {
				return d
			}
		}
		return ""
	case []any:
		return matchesList(w, got, subset, at)
	case string:
		return matchesText(w, got, at)
	}
	if want != got {
		return fmt.Sprintf("%s: %v is not %v", at, got, want)
	}
	return ""
}

func matchesList(want []any, got any, subset bool, at string) string {
	g, is := got.([]any)
	if !is || !subset && len(g) != len(want) {
		return fmt.Sprintf("%s: %v is not a list of %d", at, got, len(want))
	}
	for i, v := range want {
		found := false
		for j := range g {
			if (subset || i == j) && matches(v, g[j], subset, "") == "" {
				found = true
			}
		}
		if !found {
			return fmt.Sprintf("%s: nothing like %v in %v", at, v, got)
		}
	}
	return ""
}

func matchesText(want string, got any, at string) string {
	text, isText := got.(string)
	_, isNumber := got.(float64)
	fits := false
	switch want {
	case "*":
		fits = true
	case "<string>":
		fits = isText
	case "<number>", "<ms>":
		fits = isNumber
	case "<iso>":
		_, err := time.Parse(time.RFC3339Nano, text)
		fits = isText && err == nil && strings.HasSuffix(text, "Z")
	default:
		fits = got == want
	}
	if !fits {
		return fmt.Sprintf("%s: %v is not %s", at, got, want)
	}
	return ""
}

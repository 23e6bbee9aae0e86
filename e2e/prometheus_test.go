package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	impatient = `  unreachable: {for: 3s, then: rollback}
  noData: {for: 10m, then: hold}`
	patient = `  unreachable: {for: 3s, then: hold}
  noData: {for: 10m, then: hold}`
)

// both has two rollouts: while Prometheus does not answer, one holds and one rolls back.
func both(w *world) string {
	return quick("holds", patient) + quick("goes-back", impatient) +
		w.document("patient", "holds", slow) + w.document("impatient", "goes-back", slow)
}

func TestWhilePrometheusIsStoppedAReleaseHoldsOrGoesBackByItsPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{direct: true, documents: both})
	loads := append(w.users(t, "patient"), w.users(t, "impatient")...)
	id := map[string]string{}
	for _, name := range []string{"patient", "impatient"} {
		id[name] = w.start(t, name)
		w.wait(t, name, "the first weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	}
	require.NoError(t, w.prometheus.Kill())
	v := w.wait(t, "impatient", "it goes back by its policy", ended)
	require.Equal(t, "rolledBack", v.State.Outcome)
	events := w.events(t, id["impatient"])
	require.Equal(t, "unreachable", events[deadline(t, events)].Which)

	v = w.wait(t, "patient", "its deadline has passed too", func(view) bool { return count(w.events(t, id["patient"]), "deadlinePassed") == 1 })
	seq := v.State.Seq
	w.looks(t, 5)
	v, err := w.view("patient")
	require.NoError(t, err)
	require.True(t, at(0, 0)(v), "it holds: %+v", v)
	require.LessOrEqual(t, v.State.Seq, seq+1)
	require.Equal(t, "inconclusive", v.Verdict.Outcome)
	require.NoError(t, w.prometheus.Restart(t.Context()))
	w.wait(t, "patient", "it continues to the gate", atGate)
	noRequestFailed(t, loads)
}

func deadline(t *testing.T, events []event) int {
	t.Helper()
	for i, e := range events {
		if e.Kind == "deadlinePassed" {
			return i
		}
	}
	require.Fail(t, "no deadline has passed", "%+v", events)
	return 0
}

// sample matches a value in Prometheus' answer.
var sample = regexp.MustCompile(`(\[[0-9.]+,)"[^"]+"\]`)

func (w *world) withoutNumbers(t *testing.T) http.HandlerFunc {
	u, err := url.Parse(w.prometheus.URL)
	require.NoError(t, err)
	through := httputil.NewSingleHostReverseProxy(u)
	return func(out http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		through.ServeHTTP(answer, r)
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(answer.Code)
		_, _ = out.Write(sample.ReplaceAll(answer.Body.Bytes(), []byte(`$1"NaN"]`)))
	}
}

// nothingFound is Prometheus' answer to a query for series that do not exist.
func nothingFound(w http.ResponseWriter, r *http.Request) {
	kind := "vector"
	if r.URL.Path == "/api/v1/query_range" {
		kind = "matrix"
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"`+kind+`","result":[]}}`)
}

func TestWrongAnswersOfPrometheusHoldARelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{documents: both})
	loads := append(w.users(t, "patient"), w.users(t, "impatient")...)

	// The policy applies only if there is no answer at all, and not to an answer without data.
	w.metrics.answer(nothingFound)
	for _, name := range []string{"patient", "impatient"} {
		w.start(t, name)
		w.wait(t, name, "the first weight is in force", func(v view) bool { return at(0, 0)(v) && v.State.InForce })
	}
	for _, instead := range []http.HandlerFunc{nothingFound, w.withoutNumbers(t)} {
		w.metrics.answer(instead)
		w.looks(t, 6)
		for _, name := range []string{"patient", "impatient"} {
			v, err := w.view(name)
			require.NoError(t, err)
			require.True(t, at(0, 0)(v), "%s holds: %+v", name, v)
			require.NotNil(t, v.Verdict)
			require.Equal(t, "inconclusive", v.Verdict.Outcome)
		}
	}
	for _, instead := range []http.HandlerFunc{broken, silent} {
		w.metrics.answer(instead)
		w.looks(t, 5)
		v, err := w.view("patient")
		require.NoError(t, err)
		require.True(t, at(0, 0)(v), "it holds: %+v", v)
		require.Equal(t, "inconclusive", v.Verdict.Outcome)
	}
	require.Equal(t, "rolledBack", w.wait(t, "impatient", "it goes back by its policy", ended).State.Outcome)
	w.metrics.answer(nil)
	w.wait(t, "patient", "it continues to the gate", atGate)
	noRequestFailed(t, loads)
}

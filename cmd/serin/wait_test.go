package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
)

const (
	first  = "01K0000000000000000000000A"
	second = "01K0000000000000000000000B"
)

// inProcess passes requests to a handler without a network, so that they take no time.
type inProcess struct{ http.Handler }

// RoundTrip implements http.RoundTripper. A handler that panics looks like a broken connection.
func (h inProcess) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			err = errors.New("connection reset")
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// script is a daemon with one release, whose state is a function of the time since it started.
type script struct {
	start  func(w http.ResponseWriter)
	state  func(since time.Duration, w http.ResponseWriter) rollout.State
	events []server.Event
}

func (d script) handler(t *testing.T) http.Handler {
	begin := time.Now()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		assert.NoError(t, json.NewEncoder(w).Encode(v))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/rollouts/shop/releases", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		if d.start != nil {
			d.start(w)
			return
		}
		answer(w, http.StatusCreated, record.Release{ID: first, Rollout: "shop"})
	})
	mux.HandleFunc("GET /api/v1/releases/{id}", func(w http.ResponseWriter, r *http.Request) {
		s := d.state(time.Since(begin), w)
		if s.Phase != "" {
			answer(w, http.StatusOK, record.View{Rollout: "shop", Release: &record.Release{ID: r.PathValue("id")}, State: s})
		}
	})
	mux.HandleFunc("GET /api/v1/releases/{id}/events", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, d.events)
	})
	mux.HandleFunc("GET /api/v1/rollouts/shop", func(w http.ResponseWriter, _ *http.Request) {
		v := record.View{Rollout: "shop", Release: &record.Release{ID: first}}
		if time.Since(begin) < time.Hour {
			v.State.Successor = &rollout.StartRequest{ID: second}
		}
		answer(w, http.StatusOK, v)
	})
	return mux
}

func problem(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func endsAs(o rollout.Outcome) func(time.Duration, http.ResponseWriter) rollout.State {
	return after(90*time.Minute, o)
}

func after(end time.Duration, o rollout.Outcome) func(time.Duration, http.ResponseWriter) rollout.State {
	return func(since time.Duration, _ http.ResponseWriter) rollout.State {
		if since < end {
			return rollout.State{Phase: rollout.Active, Seq: 1}
		}
		return rollout.State{Phase: rollout.PhaseEnded, Outcome: o, Why: "because", Seq: 2}
	}
}

func pending(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(record.Release{ID: second, Rollout: "shop"})
}

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// waitCases covers what may happen while a command waits for a release.
var waitCases = []struct {
	name           string
	daemon         script
	args           string
	code           int
	stdout, stderr string
}{
	{name: "released is 0, and its events are printed meanwhile", daemon: script{
		state:  endsAs(rollout.Released),
		events: []server.Event{{Event: rollout.Started{Meta: rollout.Meta{Seq: 1, At: noon, By: "ci"}}}},
	}, code: 0, stdout: "release " + first + " of shop: released: because", stderr: "started by ci"},
	{name: "rolled back is 2", daemon: script{state: endsAs(rollout.RolledBack)}, code: 2, stdout: "rolledBack"},
	{name: "cancelled is 2", daemon: script{state: endsAs(rollout.Cancelled)}, code: 2, stdout: "cancelled"},
	{name: "superseded is 2", daemon: script{state: endsAs(rollout.OutcomeSuperseded)}, code: 2, stdout: "superseded"},
	{name: "failed is 2", daemon: script{state: endsAs(rollout.Failed)}, code: 2, stdout: "failed"},
	{name: "too long is 3", daemon: script{state: endsAs(rollout.Released)}, args: "--timeout 1h", code: 3, stderr: "has not ended within 1h0m0s; it goes on"},
	{name: "in time is 0", daemon: script{state: endsAs(rollout.Released)}, args: "--timeout 2h", code: 0},
	{name: "it waits for a daemon that is restarted", daemon: script{state: func(since time.Duration, w http.ResponseWriter) rollout.State {
		if since > time.Minute && since < 4*time.Minute {
			panic(http.ErrAbortHandler)
		}
		return endsAs(rollout.Released)(since, w)
	}}, code: 0, stderr: "the daemon does not answer"},
	{name: "it waits for a daemon that answers with errors", daemon: script{state: func(since time.Duration, w http.ResponseWriter) rollout.State {
		if since > time.Minute && since < 4*time.Minute {
			problem(w, http.StatusInternalServerError, `{"detail":"its log says why"}`)
			return rollout.State{}
		}
		return endsAs(rollout.Released)(since, w)
	}}, code: 0, stderr: "its log says why"},
	{name: "a daemon that does not come back is 1", daemon: script{state: func(time.Duration, http.ResponseWriter) rollout.State {
		panic(http.ErrAbortHandler)
	}}, code: 1, stderr: "connection reset"},
	{name: "a daemon that is away for longer than the timeout is 3", daemon: script{state: func(time.Duration, http.ResponseWriter) rollout.State {
		panic(http.ErrAbortHandler)
	}}, args: "--timeout 1m", code: 3},
	{name: "a token that is revoked meanwhile is 1 at once", daemon: script{state: func(_ time.Duration, w http.ResponseWriter) rollout.State {
		problem(w, http.StatusUnauthorized, `{"detail":"revoked"}`)
		return rollout.State{}
	}}, code: 1, stderr: "revoked; a token is looked for"},
	{name: "a proxy's page is 1", daemon: script{state: func(_ time.Duration, w http.ResponseWriter) rollout.State {
		_, _ = w.Write([]byte("<html>"))
		return rollout.State{}
	}}, code: 1, stderr: "is not Serin's"},
	{name: "a redirect is not followed and is 1", daemon: script{start: func(w http.ResponseWriter) {
		w.Header().Set("Location", "http://elsewhere.example/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}, code: 1, stderr: "the answer is not Serin's: 307"},
	{name: "an active release is 1 and is named", daemon: script{start: func(w http.ResponseWriter) {
		problem(w, http.StatusConflict, `{"status":200,"detail":"rollout shop has an active release: X","release":"X"}`)
	}}, code: 1, stderr: "has an active release: X; serin start shop --supersede takes the place of X"},
	{name: "a wrong parameter is 1 and is named", daemon: script{start: func(w http.ResponseWriter) {
		problem(w, http.StatusUnprocessableEntity, `{"detail":"validation failed","errors":[{"message":"too long","location":"body.key"}]}`)
	}}, code: 1, stderr: "validation failed; body.key: too long"},
	{name: "it waits for a successor that does not exist yet", daemon: script{start: pending, state: func(since time.Duration, w http.ResponseWriter) rollout.State {
		if since < 59*time.Minute {
			problem(w, http.StatusNotFound, `{}`)
			return rollout.State{}
		}
		return endsAs(rollout.Released)(since, w)
	}}, code: 0, stderr: "starts as soon as the active one has gone back"},
	{name: "a successor that never comes is 1", daemon: script{start: pending, state: func(_ time.Duration, w http.ResponseWriter) rollout.State {
		problem(w, http.StatusNotFound, `{"detail":"not found"}`)
		return rollout.State{}
	}}, code: 1, stderr: "release 01K0000000000000000000000B: not found"},
}

func TestTheExitCodeOfWaiting(t *testing.T) {
	for _, c := range waitCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stdout, stderr bytes.Buffer
				a := &app{
					stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, transport: inProcess{c.daemon.handler(t)},
					getenv: func(name string) string { return map[string]string{"SERIN_TOKEN": "t"}[name] },
				}
				args := append([]string{"start", "shop", "--wait"}, strings.Fields(c.args)...)
				require.Equal(t, c.code, a.run(t.Context(), args), stderr.String())
				require.Contains(t, stdout.String(), c.stdout)
				require.Contains(t, stderr.String(), c.stderr)
			})
		})
	}
}

func TestInterruptedWaitingIs1AndLeavesTheReleaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := contextWithEnd(t, 10*time.Second)
		defer cancel()
		var stdout, stderr bytes.Buffer
		a := &app{
			stdout: &stdout, stderr: &stderr, transport: inProcess{script{state: endsAs(rollout.Released)}.handler(t)},
			getenv: func(string) string { return "" },
		}
		require.Equal(t, exitError, a.run(ctx, []string{"start", "shop", "--wait", "--timeout", "1h"}))
		require.Contains(t, stderr.String(), "interrupted; release "+first+" goes on")
		require.Empty(t, stdout.String())
	})
}

// contextWithEnd returns a context that is cancelled after d, but has no deadline: like a Ctrl-C.
func contextWithEnd(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(d, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/await"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/share"
)

// webhookStage is what Orca's webhook stage makes of the answers to its polls (docs/spinnaker.md): held against
// testdata/spinnaker/webhook.json, and then reads Serin's answers. Only $.name paths are needed.
type webhookStage struct {
	StatusJSONPath   string `json:"statusJsonPath"`
	ProgressJSONPath string `json:"progressJsonPath"`
	SuccessStatuses  string
	CanceledStatuses string
	TerminalStatuses string
}

func (w webhookStage) read(status int, body []byte) string {
	if status >= 500 || status == http.StatusTooManyRequests {
		return "RUNNING"
	}
	if status >= 400 {
		return "TERMINAL"
	}
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return "TERMINAL"
	}
	word, ok := fields[strings.TrimPrefix(w.StatusJSONPath, "$.")].(string)
	if !ok {
		return "TERMINAL"
	}
	if w.ProgressJSONPath != "" {
		if _, ok := fields[strings.TrimPrefix(w.ProgressJSONPath, "$.")].(string); !ok {
			return "TERMINAL"
		}
	}
	for list, stage := range map[string]string{w.SuccessStatuses: "SUCCEEDED", w.CanceledStatuses: "CANCELED", w.TerminalStatuses: "TERMINAL"} {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(one), word) {
				return stage
			}
		}
	}
	return "RUNNING"
}

func webhookCases(t *testing.T) (cases []struct {
	Name    string
	Stage   webhookStage
	Answers []struct {
		Status int
		Body   json.RawMessage
	}
	Expect struct {
		Stage string
		After int
	}
}) {
	t.Helper()
	b, err := os.ReadFile("../testdata/spinnaker/webhook.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &cases))
	require.NotEmpty(t, cases)
	return cases
}

func TestTheStageReadsAsOrcaDoes(t *testing.T) {
	for _, c := range webhookCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			stage, after := "RUNNING", 0
			for _, a := range c.Answers {
				after++
				if stage = c.Stage.read(a.Status, a.Body); stage != "RUNNING" {
					break
				}
			}
			require.Equal(t, c.Expect.Stage, stage)
			require.Equal(t, c.Expect.After, after)
		})
	}
}

// local is an absolute address of the daemon's as a path of its API.
func (d *daemon) local(t *testing.T, absolute string) string {
	t.Helper()
	path, ok := strings.CutPrefix(absolute, d.url+server.Prefix)
	require.True(t, ok, absolute)
	return path
}

func TestAPipelineWaitsForARun(t *testing.T) {
	d := newDaemon(t)
	stage := webhookCases(t)[0].Stage
	a := d.post("otto", "/runs", `{"rollout":"shop","key":"01JEXECUTION","parameters":{"image":"shop:1.4"}}`)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	run := as[server.Run](t, a)
	require.Equal(t, run.StatusURL, a.header.Get("Location"))

	again := d.post("otto", "/runs", `{"rollout":"shop","key":"01JEXECUTION","parameters":{"image":"shop:1.4"}}`)
	require.Equal(t, http.StatusOK, again.status, "a POST that is sent again starts nothing")
	require.Equal(t, run.ID, as[server.Run](t, again).ID)
	require.Equal(t, http.StatusConflict, d.post("otto", "/runs", `{"rollout":"shop"}`).status)

	d.until(run.ID, func(v record.View) bool { return v.Gate == "start" })
	poll := func() (server.Run, string) {
		a := d.get("vera", d.local(t, run.StatusURL))
		require.Equal(t, http.StatusOK, a.status, a.body)
		return as[server.Run](t, a), stage.read(a.status, []byte(a.body))
	}
	seen, outcome := poll()
	require.Equal(t, server.RunWaiting, seen.Status)
	require.Equal(t, "start", seen.Gate)
	require.NotEmpty(t, seen.Progress)
	require.Equal(t, "RUNNING", outcome)
	require.Equal(t, http.StatusOK, d.post("quinn", d.local(t, seen.GateURL), `{"answer":"approve","reason":"manual judgment of ann"}`).status)
	d.until(run.ID, func(v record.View) bool { return v.Gate == "four" })
	seen, _ = poll()
	require.Equal(t, http.StatusOK, d.post("olga", d.local(t, seen.GateURL), `{"answer":"approve"}`).status)
	d.until(run.ID, func(v record.View) bool { return v.State.Ended() })
	seen, outcome = poll()
	require.Equal(t, server.RunSucceeded, seen.Status)
	require.Equal(t, "SUCCEEDED", outcome)
	a = d.post("otto", d.local(t, run.CancelURL), `{"reason":"the stage failed"}`)
	require.Equal(t, http.StatusOK, a.status, "a run that has ended is cancelled without an error")
	require.Equal(t, server.RunSucceeded, as[server.Run](t, a).Status)
}

func TestARunIsCancelledOrGoesBack(t *testing.T) {
	d := newDaemon(t, func(o *server.Options) { o.ExternalURL = "https://serin.example.com/" })
	r := d.request("otto", http.MethodPost, "/api/v1/runs", `{"rollout":"shop"}`)
	r.Header.Set("Idempotency-Key", "k1")
	a := d.do(r)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	run := as[server.Run](t, a)
	require.Equal(t, "https://serin.example.com/api/v1/runs/"+run.ID, run.StatusURL)
	require.Equal(t, run.ID, as[server.Run](t, d.post("otto", "/runs", `{"rollout":"shop","key":"k1"}`)).ID)
	require.Equal(t, http.StatusForbidden, d.post("vera", "/runs/"+run.ID+"/cancel", `{}`).status)
	for range 2 {
		a = d.post("otto", "/runs/"+run.ID+"/cancel", `{"reason":"pipeline cancelled"}`)
		require.Equal(t, http.StatusOK, a.status, a.body)
	}
	d.until(run.ID, func(v record.View) bool { return v.State.Ended() })
	stage := webhookCases(t)[0].Stage
	a = d.get("vera", "/runs/"+run.ID)
	require.Equal(t, "CANCELED", stage.read(a.status, []byte(a.body)), a.body)

	require.Equal(t, http.StatusNotFound, d.get("vera", "/runs/none").status)
}

func TestARunWhoseTrafficHasMovedGoesBack(t *testing.T) {
	d := newDaemon(t, func(o *server.Options) { o.Engine = moved{o.Engine} })
	run := as[server.Run](t, d.post("otto", "/runs", `{"rollout":"cart"}`))
	require.Equal(t, http.StatusOK, d.post("otto", "/runs/"+run.ID+"/cancel", `{}`).status)
	d.until(run.ID, func(v record.View) bool { return v.State.Ended() })
	a := d.get("vera", "/runs/"+run.ID)
	require.Contains(t, as[server.Run](t, a).Progress, "rolled back", "it was asked to go back, not to cancel")
}

func TestEveryStateHasItsWord(t *testing.T) {
	stage := webhookCases(t)[0].Stage
	for name, c := range map[string]struct {
		view record.View
		word server.RunStatus
		orca string
	}{
		"on its way":           {record.View{State: rollout.State{Phase: rollout.Active}}, server.RunRunning, "RUNNING"},
		"at a gate":            {record.View{Gate: "qa", State: rollout.State{Phase: rollout.Active}}, server.RunWaiting, "RUNNING"},
		"going back":           {record.View{Gate: "qa", State: rollout.State{Phase: rollout.RollingBack}}, server.RunRunning, "RUNNING"},
		"released":             {record.View{State: rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.Released}}, server.RunSucceeded, "SUCCEEDED"},
		"rolled back":          {record.View{State: rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.RolledBack}}, server.RunBack, "TERMINAL"},
		"cancelled":            {record.View{State: rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.Cancelled}}, server.RunCancelled, "CANCELED"},
		"superseded":           {record.View{State: rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.OutcomeSuperseded}}, server.RunCancelled, "CANCELED"},
		"failed":               {record.View{State: rollout.State{Phase: rollout.PhaseEnded, Outcome: rollout.Failed}}, server.RunFailed, "TERMINAL"},
		"ended in a later way": {record.View{State: rollout.State{Phase: rollout.PhaseEnded, Outcome: "new"}}, server.RunFailed, "TERMINAL"},
	} {
		word := server.RunStatusOf(c.view)
		require.Equal(t, c.word, word, name)
		require.Equal(t, c.orca, stage.read(http.StatusOK, []byte(`{"status":"`+string(word)+`","progress":""}`)), name)
	}
}

// moved is the real engine with releases whose traffic seems to have moved: without a Traefik none stays there.
type moved struct{ server.Engine }

func (m moved) Release(ctx context.Context, id string) (record.View, error) {
	v, err := m.Engine.Release(ctx, id)
	v.State.Moved = true
	return v, err
}

func TestARunThatWaitsForTheOneBeforeIsThere(t *testing.T) {
	f := &replaced{}
	d := newDaemon(t, func(o *server.Options) { f.Engine, o.Engine = o.Engine, f })
	a := d.get("vera", "/runs/R7")
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, server.RunWaiting, as[server.Run](t, a).Status)
}

// TestARunThatWaitsForTheOneBeforeIsCancelled has a release whose canary drains for an hour in the way.
func TestARunThatWaitsForTheOneBeforeIsCancelled(t *testing.T) {
	for name, cancel := range map[string]func(d *daemon, run server.Run) answer{
		"by its address": func(d *daemon, run server.Run) answer {
			require.Equal(t, http.StatusForbidden, d.post("vera", d.local(t, run.CancelURL), `{}`).status)
			return d.post("otto", d.local(t, run.CancelURL), `{"reason":"not today"}`)
		},
		"by its key": func(d *daemon, _ server.Run) answer {
			require.Equal(t, http.StatusNotFound, d.post("otto", "/runs/cancel", `{"rollout":"slow","key":"another"}`).status)
			return d.post("otto", "/runs/cancel", `{"rollout":"slow","key":"k2","reason":"not today"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			all := plans()
			slow := all["cart"].Rollout
			slow.Name, slow.Rollback = "slow", rollout.Rollback{Drain: time.Hour, Deadline: 2 * time.Hour}
			slow.Steps = rollout.Steps{rollout.Gray{Name: "gray", Weights: []share.Share{0.5}, Hold: time.Hour, Decide: rollout.Decide{Max: 2 * time.Hour, Inconclusive: rollout.PolicyHold}}}
			all[slow.Name] = record.Plan{Rollout: slow}
			d.engine.SetPlans(all)
			await.True(t, func() bool { return len(d.engine.Rollouts()) == len(all) })
			first := as[server.Run](t, d.post("otto", "/runs", `{"rollout":"slow"}`))
			d.until(first.ID, func(v record.View) bool { return v.State.Moved })

			run := as[server.Run](t, d.post("otto", "/runs", `{"rollout":"slow","key":"k2","supersede":true}`))
			require.Equal(t, server.RunWaiting, run.Status)
			stage := webhookCases(t)[0].Stage
			for range 2 {
				a := cancel(d, run)
				require.Equal(t, http.StatusOK, a.status, a.body)
				require.Equal(t, "CANCELED", stage.read(a.status, []byte(a.body)), a.body)
				require.Equal(t, "cancelled by otto before it began: not today", as[server.Run](t, a).Progress)
			}
			a := d.get("vera", d.local(t, run.StatusURL))
			require.Equal(t, "CANCELED", stage.read(a.status, []byte(a.body)), a.body)
			require.Equal(t, server.RunRunning, as[server.Run](t, d.get("vera", d.local(t, first.StatusURL))).Status, "the one before goes back as it did")
			entries, err := d.store.AuditLog(t.Context(), record.AuditFilter{Rollout: "slow"})
			require.NoError(t, err)
			require.Equal(t, run.ID, entries[0].Release)
		})
	}
}

// replaced is the real engine in a moment that is too short to be met: a release goes back and its successor waits.
type replaced struct{ server.Engine }

func (w *replaced) Rollouts() []record.View {
	all := w.Engine.Rollouts()
	all[0].State.Phase, all[0].State.Successor = rollout.RollingBack, &rollout.StartRequest{ID: "R7", Key: "ci-7", By: "otto"}
	return all
}

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// Runs are releases for an external pipeline that waits for fixed words, such as a webhook stage of Spinnaker: they
// have absolute addresses to query and to cancel, a status that is always a single string, and a key by which nothing
// is started twice. docs/spinnaker.md has the stage.

// RunStatus is the word that a pipeline waits for. There are no others.
type RunStatus string

// The words. Waiting is for a human or for a release before; succeeded and those after it stay.
const (
	RunRunning   RunStatus = "running"
	RunWaiting   RunStatus = "waiting"
	RunSucceeded RunStatus = "succeeded"
	RunFailed    RunStatus = "failed"
	RunBack      RunStatus = "rolled_back"
	RunCancelled RunStatus = "cancelled"
)

// Run is a release in a form for pipelines. No field is ever absent, because some pipelines fail on a missing one.
type Run struct {
	ID      string    `json:"id"`
	Rollout string    `json:"rollout"`
	Status  RunStatus `json:"status" enum:"running,waiting,succeeded,failed,rolled_back,cancelled"`
	// Point is gate:NAME while that gate waits, and the status at any other time: by it a pipeline waits for one gate
	// and for no other.
	Point string `json:"point"`
	// Progress says in a sentence what the release waits for, or why it ended.
	Progress string `json:"progress"`
	// Gate is the one that waits for a human, and GateURL where to answer it with {"answer": "approve"}; both are
	// empty while none does.
	Gate    string `json:"gate"`
	GateURL string `json:"gateUrl"`
	// StatusURL and CancelURL are absolute.
	StatusURL string `json:"statusUrl"`
	CancelURL string `json:"cancelUrl"`
}

// RunKeyBody says which run: the one that a key has started.
type RunKeyBody struct {
	Rollout string `json:"rollout" minLength:"1" maxLength:"253"`
	Key     string `json:"key" minLength:"1" maxLength:"200" doc:"The key that it was started with."`
	Reason  string `json:"reason,omitempty" nullable:"true" maxLength:"1000" doc:"Shown in the release's events and in the audit log."`
}

// RunBody starts a run.
type RunBody struct {
	Rollout    string            `json:"rollout" minLength:"1" maxLength:"253"`
	Parameters map[string]string `json:"parameters,omitempty" nullable:"true" doc:"Values of the rollout's parameters."`
	Key        string            `json:"key,omitempty" nullable:"true" maxLength:"200" doc:"The same key starts nothing twice, such as ${execution.id}. The header Idempotency-Key says the same."`
	Supersede  bool              `json:"supersede,omitempty" nullable:"true" doc:"An active release goes back to stable first, then this one starts."`
}

type startRunInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"200"`
	Body RunBody
}

type startRunOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     Run
}

func (s *Server) registerRuns(api huma.API) {
	change(s, api, operation{
		id: "startRun", path: "/runs", status: http.StatusCreated, also: startedAlready, summary: "Start a release and wait for it from a pipeline",
		description: "As startRelease, with absolute addresses for a pipeline to poll and to cancel. 200: the key had already started it.",
	}, s.startRun)
	read(s, api, operation{id: "getRun", path: "/runs/{id}", summary: "What a pipeline waits for, in one word"},
		func(ctx context.Context, in *ReleaseInput) (*body[Run], error) {
			r, err := s.runOf(ctx, in.ID)
			return answer(r), err
		})
	change(s, api, operation{
		id: "cancelRun", path: "/runs/{id}/cancel", status: http.StatusOK, summary: "Cancel a run, or bring it back to stable if traffic has moved",
		description: "A run that has ended, or goes back already, stays as it is, and that is no error. One that waits for the release " +
			"before it does not begin.",
	}, func(ctx context.Context, in *actInput, a *record.AuditEntry) (*body[Run], error) {
		return s.cancelRun(ctx, in.ID, orZero(in.Body).Reason, a)
	})
	change(s, api, operation{
		id: "cancelRunByKey", path: "/runs/cancel", status: http.StatusOK, summary: "Cancel the run that a key has started",
		description: "As cancelRun, for a pipeline that has to name the address before it knows the run's.",
	}, s.cancelRunByKey)
}

func (s *Server) startRun(ctx context.Context, in *startRunInput, a *record.AuditEntry) (*startRunOutput, error) {
	start := StartBody{Parameters: in.Body.Parameters, Key: in.Body.Key, Supersede: in.Body.Supersede}
	if start.Key == "" {
		start.Key = in.Key
	}
	out, err := s.start(ctx, &startInput{RolloutInput: RolloutInput{Name: in.Body.Rollout}, Body: &start}, a)
	if err != nil {
		return nil, err
	}
	run, err := s.runOf(ctx, out.Body.ID)
	if err != nil {
		// It has started all the same: the answer must not make a pipeline start it again.
		run = s.address(ctx, Run{ID: out.Body.ID, Rollout: in.Body.Rollout, Status: RunRunning})
	}
	return &startRunOutput{Status: out.Status, Location: run.StatusURL, Body: run}, nil
}

// runOf is a run by the id of its release, which may not have started yet.
func (s *Server) runOf(ctx context.Context, id string) (Run, error) {
	v, err := s.sight.Release(ctx, id)
	if errors.Is(err, record.ErrNotFound) {
		if before, ok := s.before(id); ok && may(ctx, VerbGet, before.Rollout) == nil {
			return s.address(ctx, waitingRun(before)), nil
		}
	}
	if err != nil {
		return Run{}, err
	}
	r := Run{ID: id, Rollout: v.Rollout, Status: runStatus(v), Progress: v.Waiting, Gate: v.Gate}
	if v.State.Ended() || r.Progress == "" {
		r.Progress = v.State.Why
	}
	if v.State.Ended() {
		r.Gate = ""
	}
	return s.address(ctx, r), nil
}

// before is the rollout whose release has to go back before the one with the id begins.
func (s *Server) before(id string) (record.View, bool) {
	for _, v := range s.o.Engine.Rollouts() {
		if next := v.State.Successor; next != nil && next.ID == id {
			return v, true
		}
	}
	return record.View{}, false
}

// waitingRun is the one that waits for the release of v, and may have been cancelled meanwhile.
func waitingRun(v record.View) Run {
	r := Run{ID: v.State.Successor.ID, Rollout: v.Rollout, Status: RunWaiting, Progress: "waits until the previous release has gone back"}
	if c := v.State.SuccessorCancelled; c != nil {
		r.Status, r.Progress = RunCancelled, "cancelled by "+c.By+" before it began"
		if c.Reason != "" {
			r.Progress += ": " + c.Reason
		}
	}
	return r
}

func runStatus(v record.View) RunStatus {
	if !v.State.Ended() {
		if v.Gate != "" && v.State.Phase == rollout.Active {
			return RunWaiting
		}
		return RunRunning
	}
	switch v.State.Outcome {
	case rollout.Released:
		return RunSucceeded
	case rollout.RolledBack:
		return RunBack
	case rollout.Cancelled, rollout.OutcomeSuperseded:
		return RunCancelled
	case rollout.Failed:
	}
	return RunFailed
}

// address fills in where the run is found, and its point.
func (s *Server) address(ctx context.Context, r Run) Run {
	r.Point = string(r.Status)
	if r.Status == RunWaiting && r.Gate != "" {
		r.Point = "gate:" + r.Gate
	}
	base := strings.TrimSuffix(s.o.ExternalURL, "/")
	if base == "" {
		base = requestBase(ctx)
	}
	base += Prefix
	r.StatusURL = base + "/runs/" + url.PathEscape(r.ID)
	r.CancelURL = r.StatusURL + "/cancel"
	if r.Gate != "" {
		r.GateURL = base + "/releases/" + url.PathEscape(r.ID) + "/gates/" + url.PathEscape(r.Gate)
	}
	return r
}

// cancelRun ends a run one way or the other. Spinnaker asks for it after any failure of its stage, also when there is
// nothing to end.
func (s *Server) cancelRun(ctx context.Context, id, reason string, a *record.AuditEntry) (*body[Run], error) {
	a.Release, a.Detail = id, reason
	var err error
	if a.Rollout, err = s.mayTouch(ctx, VerbRollback, id); err != nil {
		return nil, err
	}
	v, err := s.o.Engine.Release(ctx, id)
	if before, ok := s.before(id); ok && errors.Is(err, record.ErrNotFound) {
		return s.cancelWaiting(ctx, before, reason)
	}
	if err != nil {
		return nil, err
	}
	events := []rollout.Event{rollout.CancelRequested{Reason: reason}, rollout.RollbackRequested{Reason: reason}}
	if v.State.Moved {
		events = events[1:]
	}
	for _, e := range events {
		if v.State.Phase != rollout.Active {
			break
		}
		_, err = s.o.Engine.Act(ctx, id, e, identity(ctx).Name)
		var late *record.NotWrittenError
		if err == nil || errors.As(err, &late) {
			break
		}
		if !errors.Is(err, rollout.ErrNotAllowed) { // it has moved, goes back or has ended meanwhile
			return nil, err
		}
	}
	run, err := s.runOf(ctx, id)
	return answer(run), err
}

// cancelWaiting cancels the run that waits for the release of v. A refusal is returned, because the run would begin all the same,
// and the pipeline must not take it for cancelled.
func (s *Server) cancelWaiting(ctx context.Context, v record.View, reason string) (*body[Run], error) {
	id := v.State.Successor.ID
	if v.State.SuccessorCancelled == nil {
		if _, err := s.o.Engine.Act(ctx, id, rollout.CancelRequested{Reason: reason}, identity(ctx).Name); err != nil {
			return nil, err
		}
	}
	run, err := s.runOf(ctx, id)
	return answer(run), err
}

func (s *Server) cancelRunByKey(ctx context.Context, in *struct{ Body RunKeyBody }, a *record.AuditEntry) (*body[Run], error) {
	a.Rollout, a.Detail = in.Body.Rollout, in.Body.Reason
	if err := may(ctx, VerbRollback, in.Body.Rollout); err != nil {
		return nil, err
	}
	found, err := s.o.Store.Releases(ctx, record.Filter{Rollout: in.Body.Rollout, Key: in.Body.Key, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if r, ok := s.pending(in.Body.Rollout, in.Body.Key); ok {
			return s.cancelRun(ctx, r.ID, in.Body.Reason, a)
		}
		return nil, fmt.Errorf("a run of %s with the key %q: %w", in.Body.Rollout, in.Body.Key, record.ErrNotFound)
	}
	return s.cancelRun(ctx, found[0].ID, in.Body.Reason, a)
}

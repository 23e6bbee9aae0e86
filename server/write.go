package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/oklog/ulid/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// Bounds of a start's parameters, which are images, tags and numbers, not documents.
const (
	maxParameters = 64
	maxParameter  = 4096
)

type startInput struct {
	RolloutInput
	Body *StartBody
}

type startOutput struct {
	Status int
	Body   record.Release
}

func (s *Server) registerActions(api huma.API) {
	change(s, api, operation{
		id: "startRelease", path: "/rollouts/{name}/releases", status: http.StatusCreated, summary: "Start a release", also: startedAlready,
		description: "201: started. 200: the key had already started it. 202: it starts once the active one, which it supersedes, " +
			"has gone back. 409: another one is active (its id is in the answer). 422: a parameter is wrong, or this build cannot run the rollout.",
	}, s.start)
	change(s, api, operation{
		status: http.StatusOK, also: notWritten,
		id: "answerGate", path: "/releases/{id}/gates/{gate}", summary: "Answer a gate, or a question that a policy has asked",
		description: "403: the gate names other approvers. 409: it was answered before (by whom and when is in the answer), or is not open.",
	}, s.answer)
	s.registerPromote(api)
	change(s, api, operation{
		id: "undoRollout", path: "/rollouts/{name}/undo", status: http.StatusCreated,
		also: map[string]string{"200": startedAlready["200"]}, summary: "Bring back the version that was in service before the last release",
		description: "It starts a release of its own, which compares nothing: all traffic goes to the previous " +
			"version at once. 409: a release is active " +
			"(roll it back), or it is not known, or not sure any more, what was in service before.",
	}, s.undo)
	change(s, api, operation{
		id: "retryRollout", path: "/rollouts/{name}/retry", status: http.StatusCreated,
		also: map[string]string{"200": startedAlready["200"]}, summary: "Retry the last release, which did not succeed",
		description: "It starts a release of its own with the same parameters, on the plan as it is declared now. " +
			"Jobs that have succeeded are not run again where what they did is " +
			"certainly still there; gates are asked again. 409: a release is active, the last one was released or " +
			"was an undo, or it was found worse and no reason is given.",
	}, s.retry)
	for _, a := range acts {
		change(s, api, operation{id: a.id, path: "/releases/{id}/" + string(a.action), summary: a.summary, status: http.StatusOK, also: notWritten},
			func(ctx context.Context, in *actInput, e *record.AuditEntry) (*ActionOutput, error) {
				return s.act(ctx, a, in.ID, orZero(in.Body).Reason, e)
			})
	}
}

// registerPromote registers the one action whose body says how far to go.
func (s *Server) registerPromote(api huma.API) {
	change(s, api, operation{
		id: "promoteRelease", path: "/releases/{id}/promote", status: http.StatusOK, also: notWritten,
		summary: "Let a release go on without waiting, on the caller's responsibility",
		description: "The rest of a hold, a verdict that is not there yet and a lack of data are not waited for; " +
			"gates are. A worse version goes back " +
			"all the same, unless evenIfWorse is said. 409: it is paused, at a gate, being promoted, or over.",
	}, s.promote)
}

// startedAlready and notWritten are the other answers to a start and to an action.
var (
	startedAlready = map[string]string{
		"200": "The key had already started it",
		"202": "It waits for its turn: the release that it supersedes goes back first",
	}
	notWritten = map[string]string{"202": "Traffic goes back to stable; this could not be written yet, and will be"}
)

// begun answers with the release that was asked for as id: it is new, waits for its turn, or is another one, which the key
// started before.
func begun(r record.Release, id string, e *record.AuditEntry) *startOutput {
	e.Release = r.ID
	out := &startOutput{Status: http.StatusCreated, Body: r}
	switch {
	case r.Version == 0:
		out.Status = http.StatusAccepted
	case r.ID != id:
		out.Status = http.StatusOK
	}
	return out
}

type undoInput struct {
	RolloutInput
	Body UndoBody
}

func (s *Server) undo(ctx context.Context, in *undoInput, e *record.AuditEntry) (*startOutput, error) {
	e.Rollout, e.Detail = in.Name, in.Body.Reason
	if err := may(ctx, VerbRollback, in.Name); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Body.Reason) == "" {
		return nil, newProblem(http.StatusUnprocessableEntity, "a reason is needed: others will ask for it")
	}
	id := ulid.MustNew(ulid.Now(), rand.Reader).String()
	r, err := s.o.Engine.Undo(ctx, in.Name, in.Body.Reason, rollout.StartRequest{ID: id, Key: in.Body.Key, By: identity(ctx).Name})
	if err != nil {
		return nil, err
	}
	return begun(r, id, e), nil
}

type retryInput struct {
	RolloutInput
	Body *RetryBody
}

func (s *Server) retry(ctx context.Context, in *retryInput, e *record.AuditEntry) (*startOutput, error) {
	wanted := orZero(in.Body)
	e.Rollout, e.Detail = in.Name, wanted.Reason
	if err := may(ctx, VerbStart, in.Name); err != nil {
		return nil, err
	}
	if err := s.startable(ctx, in.Name, StartBody{Key: wanted.Key, Anyway: wanted.Anyway}); err != nil {
		return nil, err
	}
	id := ulid.MustNew(ulid.Now(), rand.Reader).String()
	r, err := s.o.Engine.Retry(ctx, in.Name, strings.TrimSpace(wanted.Reason), rollout.StartRequest{ID: id, Key: wanted.Key, By: identity(ctx).Name})
	if err != nil {
		return nil, err
	}
	return begun(r, id, e), nil
}

type promoteInput struct {
	ReleaseInput
	Body PromoteBody
}

func (s *Server) promote(ctx context.Context, in *promoteInput, e *record.AuditEntry) (*ActionOutput, error) {
	e.Release, e.Detail = in.ID, in.Body.words()
	var err error
	if e.Rollout, err = s.mayTouch(ctx, VerbPromote, in.ID); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Body.Reason) == "" {
		return nil, newProblem(http.StatusUnprocessableEntity, "a reason is needed: others will ask for it")
	}
	if err := s.mayOverride(ctx, in.ID); err != nil {
		return nil, err
	}
	event := rollout.WentOn{Reason: in.Body.Reason, Full: in.Body.Full, EvenIfWorse: in.Body.EvenIfWorse}
	state, err := s.o.Engine.Act(ctx, in.ID, event, identity(ctx).Name)
	return acted(state, in.ID, err)
}

// mayOverride checks the caller against the definition that the release was started with.
func (s *Server) mayOverride(ctx context.Context, id string) error {
	v, err := s.o.Engine.Release(ctx, id)
	if err != nil || v.Definition == nil {
		return err
	}
	name, roles, err := identity(ctx).Approver(ctx, VerbPromote, v.Rollout)
	if err != nil {
		return err
	}
	if err := v.Definition.MayOverride(name, roles, v.State.StartedBy); err != nil {
		return &ForbiddenError{Why: err.Error()}
	}
	return nil
}

// words describes a promotion for the audit log.
func (b PromoteBody) words() string {
	out := b.Reason
	if b.EvenIfWorse {
		out = "even if it is worse: " + out
	}
	if b.Full {
		out = "all that is left; " + out
	}
	return out
}

// Action is something that every operator may do to a release. Its value is the last segment of the API's path.
type Action string

// The actions.
const (
	Pause        Action = "pause"
	Resume       Action = "resume"
	Rollback     Action = "rollback"
	Cancel       Action = "cancel"
	DismissAlarm Action = "dismiss-alarm"
)

// acts lists the actions with their names in the audit log and the events that they cause.
var acts = []act{
	{Pause, VerbPause, "pauseRelease", "Stop timers and advancing; looks continue, and a fail still rolls back",
		func(reason string) rollout.Event { return rollout.Paused{Reason: reason} }},
	{Resume, VerbPause, "resumeRelease", "End a pause",
		func(string) rollout.Event { return rollout.Resumed{} }},
	{Rollback, VerbRollback, "rollbackRelease",
		"Bring all traffic back to stable, from any state; 202 with a warning where it could not be written yet",
		func(reason string) rollout.Event { return rollout.RollbackRequested{Reason: reason} }},
	{Cancel, VerbRollback, "cancelRelease", "End a release before any traffic has moved; after that it is a rollback",
		func(reason string) rollout.Event { return rollout.CancelRequested{Reason: reason} }},
	{DismissAlarm, VerbPromote, "dismissAlarm", "Let the release go on at this weight in spite of an alarm about its data",
		func(reason string) rollout.Event { return rollout.AlarmDismissed{Reason: reason} }},
}

type act struct {
	action      Action
	verb        Verb
	id, summary string
	event       func(reason string) rollout.Event
}

func (s *Server) start(ctx context.Context, in *startInput, a *record.AuditEntry) (*startOutput, error) {
	wanted := orZero(in.Body)
	a.Rollout, a.Detail = in.Name, describeStart(wanted)
	if err := may(ctx, VerbStart, in.Name); err != nil {
		return nil, err
	}
	if err := checkParameters(wanted.Parameters); err != nil {
		return nil, err
	}
	if r, ok := s.pending(in.Name, wanted.Key); ok {
		a.Release = r.ID
		return &startOutput{Status: http.StatusAccepted, Body: r}, nil
	}
	if err := s.startable(ctx, in.Name, wanted); err != nil {
		return nil, err
	}
	urgent, err := s.urgent(ctx, in.Name, wanted.Urgent)
	if err != nil {
		return nil, err
	}
	id := ulid.MustNew(ulid.Now(), rand.Reader).String()
	r, err := s.o.Engine.Start(ctx, in.Name, rollout.StartRequest{
		ID: id, Key: wanted.Key, Parameters: wanted.Parameters, By: identity(ctx).Name, Urgent: urgent, AllSteps: wanted.AllSteps,
	}, wanted.Supersede)
	if err != nil {
		return nil, err
	}
	return begun(r, id, a), nil
}

// urgent is what an urgent start begins with, if its caller may let a release of the rollout go on without waiting. Its
// author has started it, so a rollout that asks for four eyes refuses it.
func (s *Server) urgent(ctx context.Context, name string, b *UrgentBody) (*rollout.Urgency, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // an ordinary start
	}
	if strings.TrimSpace(b.Reason) == "" {
		return nil, newProblem(http.StatusUnprocessableEntity, "a reason is needed: others will ask for it")
	}
	if err := may(ctx, VerbPromote, name); err != nil {
		return nil, err
	}
	d, err := s.o.Engine.Definition(name)
	if err != nil {
		return nil, err
	}
	who, roles, err := identity(ctx).Approver(ctx, VerbPromote, name)
	if err != nil {
		return nil, err
	}
	if err := d.MayOverride(who, roles, who); err != nil {
		return nil, &ForbiddenError{Why: err.Error()}
	}
	return &rollout.Urgency{Reason: b.Reason, EvenIfWorse: b.EvenIfWorse}, nil
}

// startable refuses a start while the rollout's files have an error, because that would start an older version than the
// files describe, and one whose metrics could never be measured. The caller may ask for it anyway, and a key that has already
// started a release gets that one. An urgent start waits for no metric.
func (s *Server) startable(ctx context.Context, name string, wanted StartBody) error {
	if wanted.Anyway {
		return nil
	}
	err := s.outdated(name)
	if err == nil && wanted.Urgent == nil {
		if wrong := s.o.Engine.Unmeasurable(ctx, name, wanted.Parameters); len(wrong) > 0 {
			err = &UnmeasurableError{Rollout: name, Wrong: wrong}
		}
	}
	if err != nil && wanted.Key != "" {
		known, failed := s.o.Store.Releases(ctx, record.Filter{Rollout: name, Key: wanted.Key, Limit: 1})
		if failed != nil || len(known) > 0 {
			return failed
		}
	}
	return err
}

func (s *Server) outdated(name string) error {
	if s.o.Problems == nil {
		return nil
	}
	for _, p := range s.o.Problems() {
		if slices.Contains(p.Rollouts, name) {
			return &OutdatedError{Rollout: name, Problem: p}
		}
	}
	return nil
}

// UnmeasurableError says that a release could never measure some of its metrics, so no traffic should move for it.
type UnmeasurableError struct {
	Rollout string
	Wrong   []string // one sentence a metric
}

func (e *UnmeasurableError) Error() string {
	return "a release of " + e.Rollout + " cannot be judged: " + strings.Join(e.Wrong, "; ")
}

// OutdatedError says that a rollout's configuration has an error, so a start would use its last good version.
type OutdatedError struct {
	Rollout string
	Problem ConfigProblem
}

func (e *OutdatedError) Error() string {
	return "the configuration of " + e.Rollout + " has an error, so this would start its last good version: " + e.Problem.String()
}

// pending finds the release that was requested with a key and is waiting for the previous one to go back.
func (s *Server) pending(name, key string) (record.Release, bool) {
	v, err := s.o.Engine.Rollout(name)
	next := v.State.Successor
	if err != nil || key == "" || next == nil || next.Key != key || v.State.Ended() {
		return record.Release{}, false
	}
	return record.Release{ID: next.ID, Rollout: name, Key: key, StartedBy: next.By}, true
}

// orZero returns the body of a request whose body is optional.
func orZero[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

func describeStart(b StartBody) string {
	var parts []string
	if b.Key != "" {
		parts = append(parts, "key "+b.Key)
	}
	if b.Supersede {
		parts = append(parts, "supersede")
	}
	if b.Urgent != nil {
		parts = append(parts, "urgent: "+PromoteBody{Reason: b.Urgent.Reason, EvenIfWorse: b.Urgent.EvenIfWorse}.words())
	}
	if len(b.Parameters) > 0 {
		parts = append(parts, "with "+tell.Parameters(b.Parameters))
	}
	return shorten(strings.Join(parts, ", "))
}

// shorten bounds the size of one entry in the audit log.
func shorten(text string) string {
	const most = 2000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func checkParameters(given map[string]string) error {
	if len(given) > maxParameters {
		return &record.ParameterError{Name: "(all)", Want: fmt.Sprintf("there may be at most %d", maxParameters)}
	}
	for name, value := range given {
		if len(value) > maxParameter || !utf8.ValidString(value) {
			return &record.ParameterError{Name: name, Want: fmt.Sprintf("at most %d bytes of text", maxParameter)}
		}
	}
	return nil
}

// ActionOutput is the answer to an action.
type ActionOutput struct {
	Status int
	Body   ActionResult
}

type actInput struct {
	ReleaseInput
	Body *ReasonBody
}

// act performs one of [acts].
func (s *Server) act(ctx context.Context, a act, id, reason string, e *record.AuditEntry) (*ActionOutput, error) {
	e.Release, e.Detail = id, reason
	var err error
	if e.Rollout, err = s.mayTouch(ctx, a.verb, id); err != nil {
		return nil, err
	}
	state, err := s.o.Engine.Act(ctx, id, a.event(reason), identity(ctx).Name)
	return acted(state, id, err)
}

// mayTouch returns the rollout of a release, and an error unless the caller may do something to it. If the rollout
// cannot be determined, it is empty, and only callers with the right everywhere may act: a failing store must not
// prevent a rollback.
func (s *Server) mayTouch(ctx context.Context, verb Verb, id string) (string, error) {
	name := s.rolloutOf(ctx, id)
	return name, mayOr(ctx, verb, name, fmt.Errorf("read release %s: %w", id, record.ErrNotFound)) // as one that is not there
}

// rolloutOf names the rollout of a release; empty if that cannot be determined.
func (s *Server) rolloutOf(ctx context.Context, id string) string {
	v, err := s.o.Engine.Release(ctx, id)
	if err != nil {
		v, _ = s.before(id) // it may wait for its turn
	}
	return v.Rollout
}

type answerInput struct {
	ReleaseInput
	Gate string `path:"gate" maxLength:"200" doc:"Name of the gate or question"`
	Body AnswerBody
}

func (s *Server) answer(ctx context.Context, in *answerInput, a *record.AuditEntry) (*ActionOutput, error) {
	a.Release, a.Detail = in.ID, strings.TrimSuffix(fmt.Sprintf("%s gate %s: %s", in.Body.Answer, in.Gate, in.Body.Reason), ": ")
	v, err := s.sight.Release(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	a.Rollout = v.Rollout
	who := identity(ctx)
	if err := mayAnswer(ctx, v, in.Gate, who); err != nil {
		return nil, err
	}
	// The engine refuses a second answer too; it cannot once the release has ended.
	if first, ok := v.State.Answered[in.Gate]; ok {
		return nil, &rollout.AnsweredError{Gate: in.Gate, By: first.By, At: first.At, Answer: first.Answer}
	}
	state, err := s.o.Engine.Act(ctx, in.ID, rollout.GateAnswered{Gate: in.Gate, Answer: in.Body.Answer, Reason: in.Body.Reason}, who.Name)
	return acted(state, in.ID, err)
}

// mayAnswer checks the caller against the definition that the release was started with.
func mayAnswer(ctx context.Context, v record.View, gate string, who Identity) error {
	if err := may(ctx, VerbApprove, v.Rollout); err != nil {
		return err
	}
	d := v.Definition
	if d == nil {
		d = &rollout.Definition{}
	}
	_, declared := d.Gate(gate)
	_, answered := v.State.Answered[gate]
	asked := v.State.Question != nil && v.State.Question.Name == gate
	if !declared && !answered && !asked {
		return fmt.Errorf("gate %s of release %s: %w", gate, v.Release.ID, record.ErrNotFound)
	}
	name, roles, err := who.Approver(ctx, VerbApprove, v.Rollout)
	if err != nil {
		return err
	}
	if err := d.MayAnswer(gate, name, roles, v.State.StartedBy); err != nil {
		return &ForbiddenError{Why: err.Error()}
	}
	return nil
}

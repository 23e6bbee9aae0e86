package server

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

type body[T any] struct{ Body T }

func answer[T any](v T) *body[T] { return &body[T]{Body: v} }

// RolloutInput names a rollout in a path. It is exported because huma fills only exported embedded structs.
type RolloutInput struct {
	Name string `path:"name" maxLength:"253" doc:"Name of a rollout"`
}

// ReleaseInput names a release in a path. It is exported because huma fills only exported embedded structs.
type ReleaseInput struct {
	ID string `path:"id" maxLength:"64" doc:"Id of a release (ULID)"`
}

func (s *Server) registerRollouts(api huma.API) {
	read(s, api, operation{id: "listRollouts", path: "/rollouts", summary: "All rollouts with what they are doing, by name"}, s.listRollouts)
	read(s, api, operation{id: "getRollout", path: "/rollouts/{name}", summary: "One rollout with its newest release"},
		func(ctx context.Context, in *RolloutInput) (*body[record.View], error) {
			v, err := s.sight.Rollout(ctx, in.Name)
			return answer(public(v)), err
		})
	read(s, api, operation{id: "explainRollout", path: "/rollouts/{name}/explain",
		summary: "Why the newest release stands where it stands, in words and numbers"},
		func(ctx context.Context, in *RolloutInput) (*body[tell.Explanation], error) {
			v, err := s.sight.Rollout(ctx, in.Name)
			return answer(tell.Explain(v)), err
		})
}

type listRolloutsInput struct {
	After string `query:"after" doc:"Name to continue after"`
	Limit int    `query:"limit" minimum:"1" maximum:"10000" default:"10000"`
}

func (s *Server) listRollouts(ctx context.Context, in *listRolloutsInput) (*body[[]record.View], error) {
	all, err := s.sight.Rollouts(ctx)
	if err != nil {
		return nil, err
	}
	from, found := slices.BinarySearchFunc(all, in.After, func(v record.View, name string) int { return strings.Compare(v.Rollout, name) })
	if found {
		from++
	}
	page := []record.View{}
	for _, v := range all[from:min(len(all), from+in.Limit)] {
		page = append(page, public(v))
	}
	return answer(page), nil
}

func (s *Server) registerReleases(api huma.API) {
	read(s, api, operation{
		id: "listReleases", path: "/releases", summary: "Releases with what each was started with and why it ended, newest first",
	}, s.listReleases)
	read(s, api, operation{id: "getRelease", path: "/releases/{id}", summary: "One release, running or ended"},
		func(ctx context.Context, in *ReleaseInput) (*body[record.View], error) {
			v, err := s.sight.Release(ctx, in.ID)
			return answer(public(v)), err
		})
	read(s, api, operation{id: "explainRelease", path: "/releases/{id}/explain",
		summary: "Why a release stands where it stands, or ended as it did, in words and numbers"},
		func(ctx context.Context, in *ReleaseInput) (*body[tell.Explanation], error) {
			v, err := s.sight.Release(ctx, in.ID)
			return answer(tell.Explain(v)), err
		})
	read(s, api, operation{id: "listEvents", path: "/releases/{id}/events", summary: "What happened to a release, in order"}, s.listEvents)
	read(s, api, operation{
		id: "listLooks", path: "/releases/{id}/looks", summary: "The looks of a scope, in order: what charts are drawn from",
	}, s.listLooks)
}

type listReleasesInput struct {
	Rollout string `query:"rollout"`
	Phase   string `query:"phase" enum:"active,rollingBack,ended"`
	Outcome string `query:"outcome" enum:"released,rolledBack,cancelled,superseded,failed"`
	By      string `query:"by" doc:"Who started it"`
	Query   string `query:"q" maxLength:"400" doc:"Words, each of which is a part of its rollout's name, a parameter, who started it, or how and why it ended. One answer looks through 10,000 releases; where that was not enough, its header Serin-Next has the id to continue before"`
	// Since and Until are the zero time where they are not given.
	Since  time.Time `query:"since" doc:"Started at this time (RFC 3339) or later"`
	Until  time.Time `query:"until" doc:"Started before this time (RFC 3339)"`
	Before string    `query:"before" doc:"Id to continue before"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// NextHeader is the header of an answer that continues: the id before which.
const NextHeader = "Serin-Next"

type releasesOutput struct {
	Next string `header:"Serin-Next" doc:"Only where q has been looked for in as many releases as one answer may take: the id to continue before"`
	Body []record.Past
}

func (s *Server) listReleases(ctx context.Context, in *listReleasesInput) (*releasesOutput, error) {
	rs, next, err := s.sight.Search(ctx, record.Filter{
		Rollout: in.Rollout, Phase: rollout.Phase(in.Phase), Outcome: rollout.Outcome(in.Outcome), By: in.By, Since: in.Since, Until: in.Until,
		Before: in.Before, Limit: in.Limit,
	}, in.Query)
	return &releasesOutput{Next: next, Body: orEmpty(rs)}, err
}

type listEventsInput struct {
	ReleaseInput
	After int `query:"after" minimum:"0" doc:"Number of the last event that is known"`
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*body[[]Event], error) {
	if _, err := s.sight.Release(ctx, in.ID); err != nil {
		return nil, err
	}
	events, err := s.sight.Events(ctx, in.ID, in.After)
	page := []Event{}
	for _, e := range events {
		page = append(page, Event{e})
	}
	return answer(page), err
}

type listLooksInput struct {
	ReleaseInput
	Scope string `query:"scope" doc:"Scope of evidence; without it the one that is being gathered, or else the last of the plan"`
	After int    `query:"after" minimum:"0" doc:"Number to continue after"`
	Limit int    `query:"limit" minimum:"1" maximum:"5000" default:"500"`
}

func (s *Server) listLooks(ctx context.Context, in *listLooksInput) (*body[LookPage], error) {
	v, err := s.sight.Release(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	page := LookPage{Scope: cmp.Or(in.Scope, cmp.Or(v.State.Scope, lastScope(v))), Looks: []Look{}}
	if page.Scope == "" {
		return answer(page), nil
	}
	records, err := s.sight.Looks(ctx, in.ID, page.Scope, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		page.Looks = append(page.Looks, NewLook(r))
	}
	if len(records) == in.Limit {
		page.Next = records[len(records)-1].Look.Number
	}
	return answer(page), nil
}

func lastScope(v record.View) string {
	if v.Definition == nil || len(v.Definition.Scopes) == 0 {
		return ""
	}
	return v.Definition.Scopes[len(v.Definition.Scopes)-1].Name
}

func (s *Server) registerDaemon(api huma.API) {
	read(s, api, operation{id: "getMe", path: "/me", summary: "Whose token this is", anybody: true},
		func(ctx context.Context, _ *struct{}) (*body[Identity], error) { return answer(identity(ctx)), nil })
	read(s, api, operation{id: "getVersion", path: "/version", summary: "Version of the daemon", public: true},
		func(context.Context, *struct{}) (*body[Version], error) {
			return answer(Version{Version: s.o.Version, Go: runtime.Version()}), nil
		})
	read(s, api, operation{id: "listConfigProblems", path: "/config/problems",
		summary: "What is wrong with the configuration; the last good version of its documents is in use"},
		func(ctx context.Context, _ *struct{}) (*body[[]ConfigProblem], error) {
			found, err := s.sight.Problems(ctx)
			return answer(orEmpty(found)), err
		})
	read(s, api, operation{id: "listAudit", path: "/audit", summary: "Who did what, or was refused; newest first"}, s.listAudit)
}

type auditInput struct {
	Rollout string `query:"rollout"`
	By      string `query:"by" doc:"Who did it."`
	Action  string `query:"action" doc:"What was done: startRelease, answerGate, …"`
	// Since and Until are the zero time where they are not given.
	Since  time.Time `query:"since" doc:"Done at this time (RFC 3339) or later"`
	Until  time.Time `query:"until" doc:"Done before this time (RFC 3339)"`
	Before int64     `query:"before" minimum:"1" doc:"Only entries older than the one with this id, for paging."`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) listAudit(ctx context.Context, in *auditInput) (*body[[]record.AuditEntry], error) {
	f := record.AuditFilter{Rollout: in.Rollout, By: in.By, Since: in.Since, Until: in.Until, Before: in.Before, Limit: in.Limit}
	if in.Action != "" {
		f.Actions = []string{in.Action}
	}
	entries, err := s.sight.AuditLog(ctx, f)
	return answer(orEmpty(entries)), err
}

// orEmpty keeps null out of the answers: a client that loops over a list need not ask first.
func orEmpty[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

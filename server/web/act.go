package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/server"
	"github.com/serindev/serin/tell"
)

// start starts a release from a rollout's form, whose fields p-NAME are its parameters.
func (s *site) start(w http.ResponseWriter, r *http.Request, _ *session) error {
	body := server.StartBody{
		Supersede: r.PostForm.Get("supersede") != "", Anyway: r.PostForm.Get("anyway") != "", Key: strings.TrimSpace(r.PostForm.Get("key")),
	}
	for field, values := range r.PostForm {
		if name, ok := strings.CutPrefix(field, "p-"); ok && len(values) == 1 && values[0] != "" { // empty is the default
			if body.Parameters == nil {
				body.Parameters = map[string]string{}
			}
			body.Parameters[name] = values[0]
		}
	}
	release, err := s.o.Server.Start(r.Context(), r.PathValue("name"), body)
	if err != nil {
		return err
	}
	to, word := "/releases/"+release.ID, "start"
	if release.Version == 0 { // it starts later, and has no page yet
		to, word = "/rollouts/"+url.PathEscape(r.PathValue("name")), "supersede"
	}
	seeOther(w, r, address(to, "done", word))
	return nil
}

// answer answers a gate.
func (s *site) answer(w http.ResponseWriter, r *http.Request, _ *session) error {
	id, answer := r.PathValue("id"), r.PostForm.Get("answer")
	_, err := s.o.Server.Answer(r.Context(), id, r.PostForm.Get("gate"), server.AnswerBody{
		Answer: rollout.Answer(answer), Reason: strings.TrimSpace(r.PostForm.Get("reason")),
	})
	var p *server.Problem
	if errors.As(err, &p) && p.Answered != nil {
		p.Detail = p.Answered.By + " was first: " + answerPill(p.Answered.Answer).Text + " at " + stamp(p.Answered.At)
	}
	if err != nil {
		return err
	}
	seeOther(w, r, address("/releases/"+url.PathEscape(id), "done", answer))
	return nil
}

// again returns the release that a form's key has started already: its button was pressed twice.
func (s *site) again(ctx context.Context, rolloutName, key string) (release string, ok bool) {
	if key == "" {
		return "", false
	}
	known, err := s.sight.History(ctx, record.Filter{Rollout: rolloutName, Key: key, Limit: 1})
	if err != nil || len(known) == 0 {
		return "", false
	}
	return known[0].ID, true
}

// act carries out an action on a release.
func (s *site) act(w http.ResponseWriter, r *http.Request, _ *session) error {
	id, action := r.PathValue("id"), r.PathValue("action")
	if action == "undo" {
		v, err := s.sight.Release(r.Context(), id)
		if err != nil {
			return err
		}
		key := r.PostForm.Get("key")
		if started, ok := s.again(r.Context(), v.Rollout, key); ok {
			seeOther(w, r, address("/releases/"+started, "done", action))
			return nil
		}
		if !s.undoable(r.Context(), v) {
			return &httpError{http.StatusConflict, "The version of this release is no longer in service: look at the newest release"}
		}
		started, err := s.o.Server.Undo(r.Context(), v.Rollout, server.UndoBody{Reason: strings.TrimSpace(r.PostForm.Get("reason")), Key: key})
		if err == nil {
			seeOther(w, r, address("/releases/"+started.ID, "done", action))
		}
		return err
	}
	if action == string(tell.Retry) {
		return s.retry(w, r, id)
	}
	if action == "promote" {
		_, err := s.o.Server.Promote(r.Context(), id, server.PromoteBody{
			Reason: strings.TrimSpace(r.PostForm.Get("reason")), Full: r.PostForm.Get("full") != "", EvenIfWorse: r.PostForm.Get("evenIfWorse") != "",
		})
		if err == nil {
			seeOther(w, r, address("/releases/"+url.PathEscape(id), "done", action))
		}
		return err
	}
	if _, err := s.o.Server.Act(r.Context(), id, server.Action(action), strings.TrimSpace(r.PostForm.Get("reason"))); err != nil {
		return err
	}
	seeOther(w, r, address("/releases/"+url.PathEscape(id), "done", action))
	return nil
}

// retry tries the version of a release again, if that is still the newest one.
func (s *site) retry(w http.ResponseWriter, r *http.Request, id string) error {
	v, err := s.sight.Release(r.Context(), id)
	if err != nil {
		return err
	}
	key := r.PostForm.Get("key")
	if started, ok := s.again(r.Context(), v.Rollout, key); ok {
		seeOther(w, r, address("/releases/"+started, "done", string(tell.Retry)))
		return nil
	}
	if _, ok := s.retriable(r.Context(), v); !ok {
		return &httpError{http.StatusConflict, "There is nothing left to retry: look at the newest release"}
	}
	started, err := s.o.Server.Retry(r.Context(), v.Rollout, server.RetryBody{Reason: strings.TrimSpace(r.PostForm.Get("reason")), Key: key})
	if err == nil {
		seeOther(w, r, address("/releases/"+started.ID, "done", string(tell.Retry)))
	}
	return err
}

// live notifies an open page that it is out of date.
func (s *site) live(w http.ResponseWriter, r *http.Request, sess *session) error {
	q := r.URL.Query()
	name, id := q.Get("rollout"), q.Get("release")
	still := func(context.Context) error {
		now, err := s.session(r)
		if err == nil && (s.stale(now) || !now.who.Same(sess.who)) {
			err = errors.New("the roles have changed, or have to be confirmed again")
		}
		return err
	}
	s.o.Server.Changes(w, r, still, func(u record.Update) bool {
		return (name == "" || u.Rollout == name) && (id == "" || u.Release == id)
	})
	return nil
}

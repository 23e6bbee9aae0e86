package server

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
)

// LivePath is where pages have their event stream; it is left out of the histogram of answers' times.
const LivePath = "/live"

// maxReason and maxKey are the API's own bounds, in characters.
const (
	maxReason = 1000
	maxKey    = 200
)

// As returns a context that carries the identity on whose behalf something is done; pages put the owner of the session
// there.
func As(ctx context.Context, who Identity) context.Context {
	return context.WithValue(ctx, keyIdentity, who)
}

// SignIn returns the owner of a token and records the sign-in. Its error is a *Problem: 401, or 429 for an address with
// too many wrong tokens.
func (s *Server) SignIn(ctx context.Context, token string) (Identity, error) {
	who, err := s.verify(ctx, token, remote(ctx))
	if err != nil {
		s.metrics.signInFailures.Inc()
		return Identity{}, s.problem(ctx, err)
	}
	s.SignedIn(ctx, who, "by token")
	return who, nil
}

// Whose returns the owner of a token. Pages ask at every request of a session that was begun with the token, so that
// revoking it ends the session. Its error is a *Problem.
func (s *Server) Whose(ctx context.Context, token string) (Identity, error) {
	who, err := s.verify(ctx, token, remote(ctx))
	if err != nil {
		return Identity{}, s.problem(ctx, err)
	}
	return who, nil
}

// SignedIn records a sign-in, and how it was done.
func (s *Server) SignedIn(ctx context.Context, who Identity, how string) {
	s.audit(ctx, record.AuditEntry{At: time.Now().UTC(), By: who.Name, From: remote(ctx), Action: "signIn", Detail: shorten(how)})
}

// SignInFailed counts a refused attempt, and logs why.
func (s *Server) SignInFailed(ctx context.Context, how string, err error) {
	s.metrics.signInFailures.Inc()
	s.o.Log.Warn("sign-in refused", "how", how, "from", remote(ctx), "request", requestID(ctx), "err", err)
}

// SignedOut records a sign-out.
func (s *Server) SignedOut(ctx context.Context, who Identity) {
	s.audit(ctx, record.AuditEntry{At: time.Now().UTC(), By: who.Name, From: remote(ctx), Action: "signOut"})
}

// Sight is what the identity in a context ([As]) may see.
func (s *Server) Sight() Sight { return s.sight }

// Explain returns what people may see of err; the rest is in the log.
func (s *Server) Explain(ctx context.Context, err error) *Problem { return s.problem(ctx, err) }

// Start starts a release on behalf of the identity in ctx ([As]), like the API's startRelease. Its error is a *Problem.
func (s *Server) Start(ctx context.Context, rolloutName string, b StartBody) (record.Release, error) {
	out, err := audited(ctx, s, "startRelease", func(a *record.AuditEntry) (*startOutput, error) {
		if err := checkKey(b.Key); err != nil {
			return nil, err
		}
		return s.start(ctx, &startInput{RolloutInput{rolloutName}, &b}, a)
	})
	if err != nil {
		return record.Release{}, err
	}
	return out.Body, nil
}

// Answer answers a gate or a question on behalf of the identity in ctx ([As]), like the API's answerGate. Its error is a *Problem.
func (s *Server) Answer(ctx context.Context, id, gate string, b AnswerBody) (ActionResult, error) {
	out, err := audited(ctx, s, "answerGate", func(a *record.AuditEntry) (*ActionOutput, error) {
		a.Release = id
		switch b.Answer {
		case rollout.Approve, rollout.Reject, rollout.KeepWaiting:
		default:
			return nil, newProblem(http.StatusUnprocessableEntity, "the answer has to be approve, reject or wait")
		}
		if err := checkReason(b.Reason); err != nil {
			return nil, err
		}
		return s.answer(ctx, &answerInput{ReleaseInput: ReleaseInput{id}, Gate: gate, Body: b}, a)
	})
	if err != nil {
		return ActionResult{}, err
	}
	return out.Body, nil
}

// Act performs an action on a release on behalf of the identity in ctx ([As]), like the API's operation. Its error is a *Problem.
func (s *Server) Act(ctx context.Context, id string, action Action, reason string) (ActionResult, error) {
	for _, a := range acts {
		if a.action != action {
			continue
		}
		out, err := audited(ctx, s, a.id, func(e *record.AuditEntry) (*ActionOutput, error) {
			e.Release = id
			if err := checkReason(reason); err != nil {
				return nil, err
			}
			return s.act(ctx, a, id, reason, e)
		})
		if err != nil {
			return ActionResult{}, err
		}
		return out.Body, nil
	}
	return ActionResult{}, newProblem(http.StatusNotFound, "there is no action %q", action)
}

// Undo brings back the version before the last release on behalf of the identity in ctx ([As]), like the API's undoRollout. Its error
// is a *Problem.
func (s *Server) Undo(ctx context.Context, rolloutName string, b UndoBody) (record.Release, error) {
	out, err := audited(ctx, s, "undoRollout", func(e *record.AuditEntry) (*startOutput, error) {
		if err := checkReason(b.Reason); err != nil {
			return nil, err
		}
		if err := checkKey(b.Key); err != nil {
			return nil, err
		}
		return s.undo(ctx, &undoInput{RolloutInput{rolloutName}, b}, e)
	})
	if err != nil {
		return record.Release{}, err
	}
	return out.Body, nil
}

// Retry tries the version of the last release again on behalf of the identity in ctx ([As]), like the API's retryRollout. Its
// error is a *Problem.
func (s *Server) Retry(ctx context.Context, rolloutName string, b RetryBody) (record.Release, error) {
	out, err := audited(ctx, s, "retryRollout", func(e *record.AuditEntry) (*startOutput, error) {
		if err := checkReason(b.Reason); err != nil {
			return nil, err
		}
		if err := checkKey(b.Key); err != nil {
			return nil, err
		}
		return s.retry(ctx, &retryInput{RolloutInput{rolloutName}, &b}, e)
	})
	if err != nil {
		return record.Release{}, err
	}
	return out.Body, nil
}

// Promote lets a release go on without waiting on behalf of the identity in ctx ([As]), like the API's promoteRelease. Its error is a
// *Problem.
func (s *Server) Promote(ctx context.Context, id string, b PromoteBody) (ActionResult, error) {
	out, err := audited(ctx, s, "promoteRelease", func(e *record.AuditEntry) (*ActionOutput, error) {
		e.Release = id
		if err := checkReason(b.Reason); err != nil {
			return nil, err
		}
		return s.promote(ctx, &promoteInput{ReleaseInput{id}, b}, e)
	})
	if err != nil {
		return ActionResult{}, err
	}
	return out.Body, nil
}

func checkKey(key string) error {
	if utf8.RuneCountInString(key) > maxKey {
		return newProblem(http.StatusUnprocessableEntity, "the key has more than %d characters", maxKey)
	}
	return nil
}

func checkReason(reason string) error {
	if utf8.RuneCountInString(reason) > maxReason {
		return newProblem(http.StatusUnprocessableEntity, "the reason has more than %d characters", maxReason)
	}
	if !utf8.ValidString(reason) {
		return newProblem(http.StatusUnprocessableEntity, "the reason is not text")
	}
	return nil
}

// changeEvery is the shortest time between two changes that a page is notified of, since it reloads itself each time.
const changeEvery = time.Second

// Changes streams an event `changed` (server-sent events) whenever a wanted update arrives, at most once a second, until
// the reader leaves, still returns an error, or the server stops.
func (s *Server) Changes(w http.ResponseWriter, r *http.Request, still func(context.Context) error, wanted func(record.Update) bool) {
	wanted = seenUpdates(r.Context(), wanted)
	s.serveStream(r.Context(), w, still, func(ctx context.Context, st *stream) error {
		updates := s.o.Engine.Subscribe(ctx)
		pace := time.NewTicker(changeEvery)
		defer pace.Stop()
		changed := true // something may have happened since the page was made
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-st.beat:
				if err := st.heartbeat(ctx); err != nil {
					_ = st.send("ended", 0, struct{}{}) // the reader may have gone
					return err
				}
			case u, ok := <-updates:
				if !ok {
					return nil // the reader begins again
				}
				changed = changed || wanted(u)
			case <-pace.C:
				if !changed {
					continue
				}
				if err := st.send("changed", 0, struct{}{}); err != nil {
					return err
				}
				changed = false
			}
		}
	})
}

package rollout

import "time"

// Webhook notifies another system, and may wait for its answer.
type Webhook struct {
	still

	Name string `json:"name"`
	URL  string `json:"url"`
	// Body is sent as JSON; empty sends Serin's own description of the release.
	Body    string            `json:"body,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Ignore: the release goes on whatever the answer is, even without one.
	Ignore bool `json:"ignore,omitempty"`
	// Deadline of all tries together.
	Deadline time.Duration `json:"deadline"`
	// Status is an address that is polled for the outcome; empty if the first answer is the outcome.
	Status string `json:"status,omitempty"`
}

// StepName implements [Step].
func (w Webhook) StepName() string { return w.Name }

func (w Webhook) next(s State, d *Definition, t *timer) Event {
	if s.Webhook == nil {
		return nil
	}
	return s.goOn(d, t)
}

func (w Webhook) holds(s State, _ *Definition, _ *timer) []Hold {
	if s.Webhook == nil {
		return []Hold{NeedsReply{}}
	}
	return nil
}

func (w Webhook) broken(s State) Event {
	if s.Webhook == nil || s.Webhook.OK || w.Ignore {
		return nil
	}
	return RollbackRequested{Reason: "webhook " + w.Name + ": " + s.Webhook.Detail}
}

func (w Webhook) task(_ State, key string) (Task, bool) { return Task{Key: key, Webhook: w}, true }

func (Webhook) done(s State) bool { return s.Webhook != nil }

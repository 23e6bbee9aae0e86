package rollout

import "time"

// Wait lets time pass.
type Wait struct {
	still

	Name string        `json:"name"`
	For  time.Duration `json:"for"`
}

// StepName implements [Step].
func (w Wait) StepName() string { return w.Name }

func (w Wait) next(s State, d *Definition, t *timer) Event {
	if len(w.holds(s, d, t)) > 0 {
		return nil
	}
	return s.goOn(d, t)
}

func (w Wait) lasts() time.Duration { return w.For }

func (w Wait) holds(s State, _ *Definition, t *timer) []Hold {
	if at := s.StepAt.Add(w.For); s.Hurry == nil && !t.passed(at) {
		return []Hold{Elapses{at.Sub(t.now)}}
	}
	return nil
}

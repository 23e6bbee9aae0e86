package config

import (
	"time"

	"github.com/serindev/serin/rollout"
)

// WaitSpec lets time pass.
type WaitSpec struct {
	// Name of the step.
	Name Name `json:"name,omitempty"`
	// For how long.
	For Duration `json:"for"`
}

func (w *WaitSpec) named() Name { return w.Name }

func (w *WaitSpec) check(c *checker, at place, _ *RolloutSpec, _ []string) {
	c.positive(at, "for", &w.For)
}

func (w *WaitSpec) step(_ *planner, _ place, name string) rollout.Step {
	return rollout.Wait{Name: name, For: time.Duration(w.For)}
}

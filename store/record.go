package store

import (
	"encoding/json"
	"fmt"

	"github.com/serindev/serin/judge"
	"github.com/serindev/serin/rollout"
)

// lookBody is what is kept of a look beside its place.
type lookBody struct {
	Turn    int           `json:"turn"`
	Look    judge.Look    `json:"look"`
	Verdict judge.Verdict `json:"verdict"`
}

// encodeLook writes the body of a row of the table looks.
func encodeLook(l rollout.LookRecord) ([]byte, error) {
	b, err := json.Marshal(lookBody{l.Turn, l.Look, l.Verdict})
	if err != nil {
		return nil, fmt.Errorf("encode look %d of %s/%s: %w", l.Look.Number, l.Release, l.Scope, err)
	}
	return b, nil
}

// decodeLook reads what encodeLook wrote into l.
func decodeLook(b []byte, l *rollout.LookRecord) error {
	var body lookBody
	if err := json.Unmarshal(b, &body); err != nil {
		return fmt.Errorf("decode a look of %s/%s: %w", l.Release, l.Scope, err)
	}
	l.Turn, l.Look, l.Verdict = body.Turn, body.Look, body.Verdict
	return nil
}

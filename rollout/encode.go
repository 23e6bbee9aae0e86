package rollout

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/serindev/serin/traffic"
)

// Steps is a plan. As JSON each step is an object with its kind beside its fields: {"kind": "gray", …}.
type Steps []Step

// Kind names an event or a step as JSON and the API show it: its type's name with a small first letter.
func Kind(v any) string {
	t := reflect.TypeOf(v)
	if t == nil {
		return ""
	}
	name := t.Name()
	if name == "AB" {
		return "ab"
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// MarshalJSON writes each step with its kind.
func (s Steps) MarshalJSON() ([]byte, error) {
	out := make([]json.RawMessage, len(s))
	for i, step := range s {
		b, err := encodeTagged(step)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote; it refuses an unknown kind.
func (s *Steps) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	out := make(Steps, len(raw))
	for i, r := range raw {
		step, err := decodeTagged(r, stepKinds)
		if err != nil {
			return fmt.Errorf("steps[%d]: %w", i, err)
		}
		out[i] = step
	}
	*s = out
	return nil
}

// EncodeEvent writes an event with its kind; [DecodeEvent] reads it back.
func EncodeEvent(e Event) ([]byte, error) { return encodeTagged(e) }

// DecodeEvent reads what [EncodeEvent] wrote. It refuses an unknown kind: a log with an event that this version
// does not know must not be folded as if it were not there.
func DecodeEvent(b []byte) (Event, error) { return decodeTagged(b, eventKinds) }

func encodeTagged(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", Kind(v), err)
	}
	head := `{"kind":"` + Kind(v) + `"`
	if len(b) == len("{}") {
		return []byte(head + "}"), nil
	}
	return append([]byte(head+","), b[1:]...), nil
}

func decodeTagged[T any](b []byte, kinds map[string]func([]byte) (T, error)) (T, error) {
	var tag struct {
		Kind string `json:"kind"`
	}
	var none T
	if err := json.Unmarshal(b, &tag); err != nil {
		return none, err
	}
	decode, ok := kinds[tag.Kind]
	if !ok {
		return none, fmt.Errorf("unknown kind %q", tag.Kind)
	}
	v, err := decode(b)
	if err != nil {
		return none, fmt.Errorf("decode %s: %w", tag.Kind, err)
	}
	return v, nil
}

// UnmarshalJSON reads a plan of before each step drew its users anew as well: there the cohort says, with true, that they
// keep their arm. Whoever takes part in such a step now is drawn once more.
func (s *AB) UnmarshalJSON(b []byte) error {
	type cohort traffic.Cohort
	type plain AB
	in := struct {
		*plain
		Cohort struct {
			*cohort
			Sticky any `json:"sticky"`
		} `json:"cohort"`
	}{plain: (*plain)(s)}
	in.Cohort.cohort = (*cohort)(&s.Cohort)
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.Cohort.Sticky == true {
		s.Sticky = true
	}
	return nil
}

var stepKinds = map[string]func([]byte) (Step, error){
	"ab":      as[AB, Step],
	"gray":    as[Gray, Step],
	"gate":    as[Gate, Step],
	"wait":    as[Wait, Step],
	"webhook": as[Webhook, Step],
	"promote": as[Promote, Step],
	"job":     as[Job, Step],
	"deploy":  as[Deploy, Step],
}

var eventKinds = map[string]func([]byte) (Event, error){
	"started":            as[Started, Event],
	"stepEntered":        as[StepEntered, Event],
	"inForce":            as[InForce, Event],
	"notInForce":         as[NotInForce, Event],
	"drifted":            as[Drifted, Event],
	"lookTaken":          as[LookTaken, Event],
	"alarmDismissed":     as[AlarmDismissed, Event],
	"gateAnswered":       as[GateAnswered, Event],
	"webhookAnswered":    as[WebhookAnswered, Event],
	"deadlinePassed":     as[DeadlinePassed, Event],
	"jobSucceeded":       as[JobSucceeded, Event],
	"jobFailed":          as[JobFailed, Event],
	"deploymentReady":    as[DeploymentReady, Event],
	"deploymentFailed":   as[DeploymentFailed, Event],
	"paused":             as[Paused, Event],
	"resumed":            as[Resumed, Event],
	"rollbackRequested":  as[RollbackRequested, Event],
	"cancelRequested":    as[CancelRequested, Event],
	"superseded":         as[Superseded, Event],
	"successorCancelled": as[SuccessorCancelled, Event],
	"drained":            as[Drained, Event],
	"cleanedUp":          as[CleanedUp, Event],
	"ended":              as[Ended, Event],
}

// as decodes V and gives it as the interface I that V implements.
func as[V, I any](b []byte) (I, error) {
	var v V
	if err := json.Unmarshal(b, &v); err != nil {
		var none I
		return none, err
	}
	return any(v).(I), nil
}

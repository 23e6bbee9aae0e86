package rollout

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
)

// Kind names an event or a step as the log, the API and metrics show it; empty for anything else.
func Kind(v any) string {
	t := reflect.TypeOf(v)
	return cmp.Or(eventKinds.names[t], stepKinds.names[t])
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

// DecodeEvent reads what [EncodeEvent] wrote. It refuses an unknown kind: an event that this version does not know must
// not be skipped.
func DecodeEvent(b []byte) (Event, error) { return decodeTagged(b, eventKinds) }

func encodeTagged(v any) ([]byte, error) {
	name := Kind(v)
	if name == "" {
		return nil, fmt.Errorf("encode %T: it has no kind", v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	head := `{"kind":"` + name + `"`
	if len(b) == len("{}") {
		return []byte(head + "}"), nil
	}
	return append([]byte(head+","), b[1:]...), nil
}

func decodeTagged[T any](b []byte, table kinds[T]) (T, error) {
	var tag struct {
		Kind string `json:"kind"`
	}
	var none T
	if err := json.Unmarshal(b, &tag); err != nil {
		return none, err
	}
	decode, ok := table.decodes[tag.Kind]
	if !ok {
		return none, fmt.Errorf("unknown kind %q: a newer Serin has written it; run that one", tag.Kind)
	}
	v, err := decode(b)
	if err != nil {
		return none, fmt.Errorf("decode %s: %w", tag.Kind, err)
	}
	return v, nil
}

// kinds maps the types of a sealed set to their stored names, and back.
type kinds[I any] struct {
	names   map[reflect.Type]string
	decodes map[string]func([]byte) (I, error)
}

// kind is one row of kinds.
type kind[I any] struct {
	name   string
	of     reflect.Type
	decode func([]byte) (I, error)
}

func tableOf[I any](rows ...kind[I]) kinds[I] {
	table := kinds[I]{map[reflect.Type]string{}, map[string]func([]byte) (I, error){}}
	for _, row := range rows {
		table.names[row.of], table.decodes[row.name] = row.name, row.decode
	}
	return table
}

// as makes the row of V, which implements the interface I.
func as[V, I any](name string) kind[I] {
	return kind[I]{name, reflect.TypeFor[V](), func(b []byte) (I, error) {
		var v V
		if err := json.Unmarshal(b, &v); err != nil {
			var none I
			return none, err
		}
		return any(v).(I), nil
	}}
}

// The Go types below may be renamed at will. The names are in databases and in programs that read the API; testdata/stored
// freezes them.

var stepKinds = tableOf(
	as[AB, Step]("ab"),
	as[Gray, Step]("gray"),
	as[Gate, Step]("gate"),
	as[Wait, Step]("wait"),
	as[Webhook, Step]("webhook"),
	as[Promote, Step]("promote"),
	as[Job, Step]("job"),
	as[Deploy, Step]("deploy"),
	as[Watch, Step]("watch"),
	as[Mirror, Step]("mirror"),
	as[Preview, Step]("preview"),
)

var eventKinds = tableOf(
	as[Started, Event]("started"),
	as[StepEntered, Event]("stepEntered"),
	as[InForce, Event]("inForce"),
	as[NotInForce, Event]("notInForce"),
	as[Drifted, Event]("drifted"),
	as[LookTaken, Event]("lookTaken"),
	as[AlarmDismissed, Event]("alarmDismissed"),
	as[GateAnswered, Event]("gateAnswered"),
	as[WebhookAnswered, Event]("webhookAnswered"),
	as[DeadlinePassed, Event]("deadlinePassed"),
	as[JobSucceeded, Event]("jobSucceeded"),
	as[JobFailed, Event]("jobFailed"),
	as[DeploymentReady, Event]("deploymentReady"),
	as[DeploymentFailed, Event]("deploymentFailed"),
	as[WindowAwaited, Event]("windowAwaited"),
	as[Paused, Event]("paused"),
	as[Resumed, Event]("resumed"),
	as[WentOn, Event]("wentOn"),
	as[RollbackRequested, Event]("rollbackRequested"),
	as[CancelRequested, Event]("cancelRequested"),
	as[Superseded, Event]("superseded"),
	as[SuccessorCancelled, Event]("successorCancelled"),
	as[Drained, Event]("drained"),
	as[CleanedUp, Event]("cleanedUp"),
	as[Ended, Event]("ended"),
)

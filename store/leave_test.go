package store_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/store"
)

// reads lists the methods of a store that change nothing. All others have to ask for leave.
var reads = map[string]bool{
	"SignedOut": true,
	"Release":   true, "ByKey": true, "Releases": true, "Newest": true, "History": true, "Started": true, "Events": true, "Swapped": true, "Evidence": true, "Looks": true,
	"Learned": true, "Scraped": true, "AuditLog": true, "Untold": true, "Backlog": true, "Outbox": true,
	"CanaryConfig": true, "CanaryConfigs": true, "CanaryRun": true, "CanaryRuns": true, "IncompleteCanaryRuns": true,
	"CanaryPairs": true, "CanaryEvidence": true,
	"Close": true, "SynchronousCommit": true, "Pragma": true, // the last two are of the tests
}

// TestNothingIsWrittenWithoutLeave calls every method with suitable arguments.
func TestNothingIsWrittenWithoutLeave(t *testing.T) {
	leave := error(nil)
	s, err := store.Open(t.Context(), newSQLite(t), store.WithLeave(func() error { return leave }))
	require.NoError(t, err)
	defer s.Close()
	at := time.Date(2026, 3, 29, 2, 0, 0, 0, time.UTC)
	first := rollout.Started{Meta: rollout.Meta{Seq: 1, At: at, By: "ann"}, Rollout: "shop", Revision: "a1"}
	r := record.Release{ID: "R1", Rollout: "shop", Plan: []byte("{}"), Version: 1, Phase: rollout.Active, StartedBy: "ann", StartedAt: at}
	require.NoError(t, s.Create(t.Context(), r, first))
	ended := r
	ended.ID, ended.Rollout, ended.Phase, ended.EndedAt = "R2", "other", rollout.PhaseEnded, at
	require.NoError(t, s.Create(t.Context(), ended, first))
	require.NoError(t, s.SaveLooks(t.Context(), []record.LookRecord{{Release: "R2", Scope: "gray"}}))

	leave = errors.New("another daemon leads")
	given := map[reflect.Type]reflect.Value{
		reflect.TypeFor[context.Context]():     reflect.ValueOf(t.Context()),
		reflect.TypeFor[time.Time]():           reflect.ValueOf(at.Add(time.Hour)),
		reflect.TypeFor[record.Release]():      reflect.ValueOf(record.Release{ID: "R3", Rollout: "more", Plan: []byte("{}")}),
		reflect.TypeFor[[]rollout.Event]():     reflect.ValueOf([]rollout.Event{first}),
		reflect.TypeFor[[]record.LookRecord](): reflect.ValueOf([]record.LookRecord{{Release: "R1", Scope: "gray"}}),
		reflect.TypeFor[[]record.Learned]():    reflect.ValueOf([]record.Learned{{Rollout: "shop", Release: "R1", Metric: "errors", At: at}}),
		reflect.TypeFor[kept.Config]():         reflect.ValueOf(kept.Config{ID: "C1", Body: []byte("{}")}),
		reflect.TypeFor[kept.Run]():            reflect.ValueOf(kept.Run{ID: "C1", Body: []byte("{}")}),
		reflect.TypeFor[string]():              reflect.ValueOf("R1"),
		reflect.TypeFor[[]byte]():              reflect.ValueOf([]byte("{}")),
	}
	v := reflect.ValueOf(s)
	for i := range v.NumMethod() {
		name, method := v.Type().Method(i).Name, v.Method(i)
		if reads[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			args := make([]reflect.Value, method.Type().NumIn())
			for k := range args {
				in := method.Type().In(k)
				if args[k] = given[in]; !args[k].IsValid() {
					args[k] = reflect.Zero(in)
				}
			}
			if name == "Append" {
				args[1] = reflect.ValueOf(r)
			}
			call := method.Call
			if method.Type().IsVariadic() {
				call = method.CallSlice
			}
			out := call(args)
			err, _ := reflect.TypeAssert[error](out[len(out)-1])
			require.ErrorIs(t, err, leave)
		})
	}
}

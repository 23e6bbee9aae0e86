package rollout

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/internal/frozen"
)

func TestAnEventIsStoredAsItAlwaysWas(t *testing.T) {
	shown := map[string][]any{}
	for _, line := range frozen.Lines(t, "testdata/stored/events.jsonl") {
		e, err := DecodeEvent([]byte(line))
		require.NoError(t, err, line)
		again, err := EncodeEvent(e)
		require.NoError(t, err)
		require.Equal(t, line, string(again))
		shown[Kind(e)] = append(shown[Kind(e)], e)
	}
	complete(t, shown, eventKinds)
}

func TestAStepIsStoredAsItAlwaysWas(t *testing.T) {
	shown := map[string][]any{}
	for _, line := range frozen.Lines(t, "testdata/stored/steps.jsonl") {
		var steps Steps
		require.NoError(t, json.Unmarshal([]byte("["+line+"]"), &steps), line)
		again, err := json.Marshal(steps)
		require.NoError(t, err)
		require.Equal(t, "["+line+"]", string(again))
		shown[Kind(steps[0])] = append(shown[Kind(steps[0])], steps[0])
	}
	complete(t, shown, stepKinds)
}

// complete tells that each kind is shown with all of its fields.
func complete[I any](t *testing.T, shown map[string][]any, table kinds[I]) {
	for kind := range table.decodes {
		unset := slices.DeleteFunc(frozen.Unset(shown[kind]...), func(field string) bool {
			return field == "traffic.Cohort.Sticky" // of a target only, which is not stored
		})
		require.NotEmpty(t, shown[kind], "no line shows how %s is stored", kind)
		require.Empty(t, unset, "no line shows how these fields of %s are stored", kind)
	}
}

// TestEveryKindIsInItsTable: what is missing in a table is found before the first release whose log has it.
func TestEveryKindIsInItsTable(t *testing.T) {
	var events, steps []string
	for typ := range eventKinds.names {
		events = append(events, typ.Name())
	}
	for typ := range stepKinds.names {
		steps = append(steps, typ.Name())
	}
	require.ElementsMatch(t, receivers(t, "With"), events)
	require.ElementsMatch(t, receivers(t, "StepName"), steps)
	require.Len(t, eventKinds.decodes, len(events), "a kind's name is used twice")
	require.Len(t, stepKinds.decodes, len(steps), "a kind's name is used twice")
}

// receivers are the types of this package that have a method of that name.
func receivers(t *testing.T, method string) (out []string) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == method {
				out = append(out, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	return out
}

// TestWordsInTheLogStayTheSame: an event says by these words what happened.
func TestWordsInTheLogStayTheSame(t *testing.T) {
	for stored, word := range map[string]any{
		"ab": StageAB, "gray": StageGray, "promote": StagePromote, "deploy": StageDeploy, "patch": StagePatch,
		"await": StageAwait, "return": StageReturn, "leave": StageLeave, "gate": StageGate, "still": StageStill, "watch": StageWatch,
		"mirror": StageMirror, "preview": StagePreview,
	} {
		require.Equal(t, StageKind(stored), word)
	}
	require.Equal(t, []Answer{"approve", "reject", "wait"}, []Answer{Approve, Reject, KeepWaiting})
	require.Equal(t, []Deadline{"gate", "decide", "noData", "unreachable", "blind", "promote", "worse"},
		[]Deadline{GateExpired, DecideMax, NoDataFor, UnreachableFor, BlindFor, PromoteMax, FoundWorse})
	require.Equal(t, []Policy{"hold", "gate", "rollback", "cancel"}, []Policy{PolicyHold, PolicyGate, PolicyRollback, PolicyCancel})
	require.Equal(t, []DecideOn{"pass", "no-fail"}, []DecideOn{OnPass, OnNoFail})
	require.Equal(t, []Strategy{"", "patch", "wait"}, []Strategy{Exchange, Patch, AwaitStable})
	require.Equal(t, []Phase{"active", "rollingBack", "ended"}, []Phase{Active, RollingBack, PhaseEnded})
	require.Equal(t, []Outcome{"released", "rolledBack", "cancelled", "superseded", "failed"},
		[]Outcome{Released, RolledBack, Cancelled, OutcomeSuperseded, Failed})
}

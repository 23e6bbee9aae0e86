package web

import (
	"time"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/rollout"
	"github.com/serindev/serin/tell"
)

// EventLine is one event in words.
type EventLine struct {
	Seq    int
	At     time.Time
	By     string
	Text   string
	Detail string
	// Class is the colour of the line: ok, bad, wait or none.
	Class string
}

// newEventLines puts events into words, the newest first.
func newEventLines(v record.View, events []rollout.Event) []EventLine {
	out := make([]EventLine, len(events))
	for i, e := range events {
		out[len(events)-1-i] = newEventLine(v, e)
	}
	return out
}

func newEventLine(v record.View, e rollout.Event) EventLine {
	head := e.Head()
	line := EventLine{Seq: head.Seq, At: head.At, By: head.By}
	w := tell.Event(e, v.Steps)
	line.Text, line.Detail, line.Class = tell.Capital(w.Text), w.Detail, toneClass[w.Tone]
	return line
}

var toneClass = map[tell.Tone]string{tell.Plain: "", tell.Mark: "", tell.Good: "ok", tell.Bad: "bad", tell.Warning: "wait"}

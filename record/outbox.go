package record

import (
	"encoding/json"
	"time"
)

// Untold is a release with events after Told, whose messages have not been made yet.
type Untold struct {
	Release Release
	Told    int
}

// Outgoing is one message to one receiver, kept until it has been delivered.
type Outgoing struct {
	// Key is made of the release, the event and the receiver: a message is stored once, however often it is written.
	// Receivers can use it to discard duplicates.
	Key string `json:"key"`
	// Receiver is its name in the configuration.
	Receiver string `json:"receiver"`
	// At is the time of the event; messages to a receiver are sent in this order.
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
	// State, Tries, Due and Detail are the progress: the next try is not before Due, and Detail says why the last one failed.
	State  OutgoingState `json:"state"`
	Tries  int           `json:"tries"`
	Due    time.Time     `json:"due"`
	Detail string        `json:"detail,omitempty"`
}

// OutgoingState says what has happened to a message.
type OutgoingState string

// The states of a message.
const (
	OutgoingWaiting OutgoingState = "waiting"
	OutgoingSent    OutgoingState = "sent"
	OutgoingLost    OutgoingState = "lost" // given up: the receiver refuses it, or it was tried for too long
)

package record

import (
	"encoding/json"
	"time"
)

// Untold is a release with events that nobody has been told of yet: those after Told.
type Untold struct {
	Release Release
	Told    int
}

// Outgoing is one message to one receiver, as it is remembered until it has been delivered.
type Outgoing struct {
	// Key is made of the release, the event and the receiver: the same message is kept once, however often it is
	// written. Receivers that can, refuse a second with the same key.
	Key string `json:"key"`
	// Receiver is its name in the configuration.
	Receiver string `json:"receiver"`
	// At is when that happened which it tells of; messages to a receiver go out in this order.
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
	// State, Tries, Due and Detail are how far it has got: the next try is not before Due, and Detail is why the
	// last one did not work.
	State  OutgoingState `json:"state"`
	Tries  int           `json:"tries"`
	Due    time.Time     `json:"due"`
	Detail string        `json:"detail,omitempty"`
}

// OutgoingState is what has become of a message.
type OutgoingState string

// The states of a message.
const (
	OutgoingWaiting OutgoingState = "waiting"
	OutgoingSent    OutgoingState = "sent"
	OutgoingLost    OutgoingState = "lost" // given up: refused for good, or tried for too long
)

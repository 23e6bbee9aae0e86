package promsource

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxOff is by how much Prometheus's clock may differ from the one that determines windows. A server further behind
// stores new samples under times in the past, and a window that was counted is not asked for again: no answer is better
// than one that lacks the newest requests.
const maxOff = 10 * time.Second

// Frame is the clock that determines windows: the daemon's own, or that of its Prometheus if the two are far apart.
// Then one of the machines has a wrong clock, and samples have Prometheus's times. It may be used by several
// goroutines.
type Frame struct {
	behind atomic.Int64

	mu     sync.Mutex // guards what follows
	next   time.Duration
	agreed int
}

// How many successive answers have to agree before their clock is followed: one server of a pair with a wrong clock
// changes nothing as long as the other one answers in between.
const (
	confirmations = 3
	agreement     = 3 * time.Second
)

// Behind is by how much this clock is behind the daemon's own; negative if it is ahead, and 0 as long as they are
// within ten seconds.
func (f *Frame) Behind() time.Duration { return time.Duration(f.behind.Load()) }

// hear records by how much the server was behind when it answered.
func (f *Frame) hear(behind time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case (behind - f.Behind()).Abs() <= maxOff:
		f.agreed = 0
		return
	case f.agreed > 0 && (behind-f.next).Abs() <= agreement:
		f.agreed++
	default:
		f.agreed = 1
	}
	f.next = behind
	if f.agreed < confirmations {
		return
	}
	f.agreed = 0
	switch {
	case behind.Abs() <= maxOff:
		behind = 0 // they are right again
	case behind > 0:
		behind += time.Second // a date is up to a second early, and a window has to be over
	}
	f.behind.Store(int64(behind))
}

// clock records by how much the server that answered last is behind. Every answer has a date, to the second.
type clock struct {
	behind atomic.Int64
	frame  *Frame
	leads  bool // the frame follows this server
}

// hear records the date of an answer to a request that was sent and answered at the given times. The answer was made
// somewhere in between; differences within that uncertainty count as none.
func (c *clock) hear(date string, sent, answered time.Time) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	var behind time.Duration
	switch last := at.Add(time.Second); { // it may be almost a second later than it says
	case last.Before(sent):
		behind = sent.Sub(last)
	case at.After(answered):
		behind = answered.Sub(at)
	}
	c.behind.Store(int64(behind))
	if c.leads {
		c.frame.hear(behind)
	}
}

// skew is by how much the server is behind, negative if it is ahead.
func (c *clock) skew() time.Duration { return time.Duration(c.behind.Load()) }

type behindError struct{ by time.Duration }

func (e *behindError) Error() string {
	return fmt.Sprintf("the clock of the server is %s behind this daemon's, so the newest samples would be missed: "+
		"set the clocks right (NTP)", e.by.Round(time.Second))
}

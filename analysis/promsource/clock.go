package promsource

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// maxBehind is how far Prometheus's clock may be behind: what is scraped now gets a time that has passed for Serin, and a
// window that was counted is not asked for again. So beyond it no answer is better than one from which the newest requests
// are missing. One that is ahead loses nothing: its samples are counted when their time has come.
const maxBehind = 10 * time.Second

// clock remembers by how much the server that answered last is behind. Every answer has a date, to the second.
type clock struct{ behind atomic.Int64 }

// hear takes the date of an answer to a request that was sent and answered at the given times. Somewhere in between it was
// made: what that leaves open counts as no difference.
func (c *clock) hear(date string, sent, answered time.Time) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	switch last := at.Add(time.Second); { // it may be almost a second later than it says
	case last.Before(sent):
		c.behind.Store(int64(sent.Sub(last)))
	case at.After(answered):
		c.behind.Store(int64(answered.Sub(at)))
	default:
		c.behind.Store(0)
	}
}

// skew is by how much the server is behind, negative if it is ahead.
func (c *clock) skew() time.Duration { return time.Duration(c.behind.Load()) }

type behindError struct{ by time.Duration }

func (e *behindError) Error() string {
	return fmt.Sprintf("the clock of the server is %s behind this daemon's, so the newest samples would be missed: set the clocks right (NTP)", e.by.Round(time.Second))
}

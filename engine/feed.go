package engine

import (
	"context"
	"sync"

	"github.com/serindev/serin/record"
)

// feedBuffer is how many updates a subscriber may fall behind; a release has some dozens of events.
const feedBuffer = 256

// feed hands updates to subscribers.
type feed struct {
	mu     sync.Mutex // guards subs and closed
	subs   map[chan record.Update]struct{}
	closed bool
}

func newFeed() *feed { return &feed{subs: map[chan record.Update]struct{}{}} }

func (f *feed) subscribe(ctx context.Context) <-chan record.Update {
	c := make(chan record.Update, feedBuffer)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(c)
		return c
	}
	f.subs[c] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop(c)
	})
	return c
}

func (f *feed) drop(c chan record.Update) {
	if _, ok := f.subs[c]; ok {
		delete(f.subs, c)
		close(c)
	}
}

func (f *feed) tell(u record.Update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.subs {
		select {
		case c <- u:
		default:
			f.drop(c)
		}
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.subs {
		f.drop(c)
	}
}

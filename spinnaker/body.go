package spinnaker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/serindev/serin/judge/kayenta"
)

// Bounds of what is read. Who sends a body may be anybody who reaches the listener, and the process has more to do.
const (
	// maxBody of everything but samples: a config of 4 MiB and a request.
	maxBody = kayenta.MaxConfig + 1<<20
	// maxDrain of a body that is too large is read and thrown away: most clients read no answer before they have sent
	// everything, and would see a broken connection instead of a reason.
	maxDrain = 256 << 20
	// maxBodies is the memory of all bodies together: two of the largest. Who comes then waits for memoryWait.
	maxBodies  = 2 * kayenta.MaxRequest
	memoryWait = 15 * time.Second
	// decodedTimes is how much more memory a body takes that is decoded as a whole.
	decodedTimes = 4
	// firstPiece is what a body gets at first. What it says of its length costs nothing until an eighth of it has come.
	firstPiece = 64 << 10
	earnest    = 8
	// flowPiece of a body has to come within flowTime, or the caller is too slow for others to wait for its memory.
	flowPiece = 1 << 20
	flowTime  = 5 * time.Second
)

// memory is that of one request's bodies; it is given back when the request is over.
type memory struct {
	of   *semaphore.Weighted
	held int64
}

type memoryKey struct{}

// bounded gives a request its memory, and its body a pace. The caller closes it.
func (s *Service) bounded(w http.ResponseWriter, r *http.Request) (_ *http.Request, closed func()) {
	a := &memory{of: s.bodies}
	r = r.WithContext(context.WithValue(r.Context(), memoryKey{}, a))
	r.Body = &flow{ReadCloser: r.Body, control: http.NewResponseController(w), end: time.Now().Add(readTimeout)}
	return r, func() { a.of.Release(a.held) }
}

// take waits for memory; a refusal says that there is none.
func (a *memory) take(ctx context.Context, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, memoryWait)
	defer cancel()
	if err := a.of.Acquire(ctx, size); err != nil {
		return busy("other requests take all the memory that there is for bodies: try again")
	}
	a.held += size
	return nil
}

func (a *memory) giveBack(size int64) {
	a.held -= size
	a.of.Release(size)
}

// flow is a body that has to keep coming.
type flow struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time
	spent   time.Duration // reading the piece that is under way
	got     int
}

// Read implements io.Reader. Time in which nobody reads does not count.
func (f *flow) Read(p []byte) (int, error) {
	began := time.Now()
	until := began.Add(flowTime - f.spent)
	if until.After(f.end) {
		until = f.end
	}
	_ = f.control.SetReadDeadline(until) // a test's recorder has none
	n, err := f.ReadCloser.Read(p)
	f.spent += time.Since(began)
	if f.got += n; f.got >= flowPiece {
		f.got, f.spent = 0, 0
	}
	return n, err
}

// readBody reads a bounded body; with what is made of it, it takes times as much memory. The memory grows as the body
// comes: a length is easily said.
func readBody(r *http.Request, most int64, times int64) ([]byte, error) {
	if r.ContentLength > most && r.Header.Get("Expect") != "" { // it waits for our word, and has sent nothing yet
		return nil, &http.MaxBytesError{Limit: most}
	}
	a, _ := r.Context().Value(memoryKey{}).(*memory)
	body := http.MaxBytesReader(nil, r.Body, most)
	b := make([]byte, 0, max(min(r.ContentLength+1, firstPiece), 512))
	if err := a.take(r.Context(), times*int64(cap(b))); err != nil {
		return nil, err
	}
	for {
		if len(b) == cap(b) {
			grown := 2 * int64(cap(b))
			if grown >= most {
				grown = most + 1
			}
			if int64(len(b)) >= r.ContentLength/earnest { // it is in earnest, and gets it in one piece: growing takes it twice
				grown = max(grown, min(r.ContentLength, most)+1)
			}
			if err := a.take(r.Context(), times*grown); err != nil {
				return nil, err
			}
			a.giveBack(times * int64(cap(b)))
			b = append(make([]byte, 0, grown), b...)
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, unread(r, err)
		}
	}
}

// unread is what is wrong with a body that did not come to its end.
func unread(r *http.Request, err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain) // what matters of it is that it is gone
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{http.StatusRequestTimeout, "the body came too slowly"}
	}
	return bad("the body ended early: %v", err)
}

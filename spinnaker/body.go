package spinnaker

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/serindev/serin/judge/kayenta"
)

// Bounds on bodies: anyone who reaches the listener may send one, and the process has other work to do.
const (
	// maxBody is for everything but samples: a config of 4 MiB and a request.
	maxBody = kayenta.MaxConfig + 1<<20
	// maxDrain is how much of an oversized body is read and discarded. Most clients read the answer only after they have
	// sent everything, and would see a broken connection instead of the reason.
	maxDrain = 256 << 20
	// maxBodies is the memory for all bodies together: two of the largest. Further requests wait up to memoryWait for it.
	maxBodies  = 2 * kayenta.MaxRequest
	memoryWait = 15 * time.Second
	// decodedTimes is the memory of a body that is decoded as a whole, as a multiple of its size.
	decodedTimes = 4
	// firstPiece is a body's first buffer. An announced length allocates nothing until an eighth of it has arrived.
	firstPiece = 64 << 10
	earnest    = 8
	// flowPiece bytes have to arrive within each flowTime: a slower caller would hold memory that others wait for.
	flowPiece = 1 << 20
	flowTime  = 5 * time.Second
)

// memory is what the bodies of one request hold. It is released when the request ends.
type memory struct {
	of   *semaphore.Weighted
	held int64
}

type memoryKey struct{}

// bounded attaches memory accounting to a request and a minimum pace to its body. The caller calls closed at the end.
func (s *Service) bounded(w http.ResponseWriter, r *http.Request) (_ *http.Request, closed func()) {
	a := &memory{of: s.bodies}
	r = r.WithContext(context.WithValue(r.Context(), memoryKey{}, a))
	r.Body = &flow{ReadCloser: r.Body, control: http.NewResponseController(w), end: time.Now().Add(readTimeout)}
	return r, func() { a.of.Release(a.held) }
}

// take waits for memory, and refuses the request if none becomes free in time.
func (a *memory) take(ctx context.Context, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, memoryWait)
	defer cancel()
	if err := a.of.Acquire(ctx, size); err != nil {
		return busy("other requests are using all the memory for bodies: try again")
	}
	a.held += size
	return nil
}

func (a *memory) giveBack(size int64) {
	a.held -= size
	a.of.Release(size)
}

// flow is a body that has to keep arriving at a minimum pace.
type flow struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time
	spent   time.Duration // on reading the current piece
	got     int
}

// Read implements io.Reader. Only the time spent inside Read counts.
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

// readBody reads a body of at most most bytes. times is the memory that it takes once decoded, as a multiple of its
// length. The memory grows as the body arrives, because any caller can announce any length.
func readBody(r *http.Request, most int64, times int64) ([]byte, error) {
	if r.ContentLength > most && r.Header.Get("Expect") != "" { // the client waits for 100 Continue and has sent nothing yet
		return nil, &http.MaxBytesError{Limit: most}
	}
	a, _ := r.Context().Value(memoryKey{}).(*memory)
	plain, length, err := unpacked(r)
	if err != nil {
		return nil, unread(r, err)
	}
	body := http.MaxBytesReader(nil, plain, most)
	b := make([]byte, 0, max(min(length+1, firstPiece), 512))
	if err := a.take(r.Context(), times*int64(cap(b))); err != nil {
		return nil, err
	}
	for {
		if len(b) == cap(b) {
			grown := 2 * int64(cap(b))
			if grown >= most {
				grown = most + 1
			}
			if int64(len(b)) >= length/earnest { // the length is plausible: one allocation, since growing holds the body twice
				grown = max(grown, min(length, most)+1)
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

// unpacked returns the body without its content coding, and its length, or -1 if that is not known. Orca and Gate do not
// compress their requests, but a proxy or a client with an interceptor may.
func unpacked(r *http.Request) (body io.ReadCloser, length int64, err error) {
	switch coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); coding {
	case "", "identity":
		return r.Body, r.ContentLength, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r.Body)
		return z, -1, err
	default:
		return nil, 0, &refusal{http.StatusUnsupportedMediaType, fmt.Sprintf("the body is encoded as %q: send it with gzip or uncompressed", coding)}
	}
}

// unread says why a body could not be read to its end.
func unread(r *http.Request, err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain) // so that the client reads the answer
		return err
	}
	if refused, is := errors.AsType[*refusal](err); is {
		return refused
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{http.StatusRequestTimeout, "the body arrived too slowly"}
	}
	return bad("the body ended early: %v", err)
}

package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// LoadConfig is a constant load on one URL.
type LoadConfig struct {
	URL string
	// Rate is the number of requests per second, sent whatever the answers are (an open loop). 0: as many as the
	// Workers can send.
	Rate float64
	// Workers is the most requests that may be under way at once; 0: 16. A request that is due while all are busy is
	// not sent, and is counted in Missed.
	Workers int
	// Requests and Duration end the load; 0: no such limit.
	Requests int
	Duration time.Duration
	// Header is sent with every request; Host as a field of its own, because it is no header in net/http.
	Header http.Header
	Host   string
	// Cookies are sent with every request.
	Cookies []*http.Cookie
	// Vary changes the n-th request (from 0) before it is sent; it is called from several goroutines.
	Vary func(n int, r *http.Request)
	// Jar keeps cookies over all requests: one user with sticky sessions. Nil: none are kept.
	Jar http.CookieJar
	// TLS is for a URL with https; nil: the system's authorities.
	TLS *tls.Config
	// Timeout of one request; 0: 10 s.
	Timeout time.Duration
}

// LoadCounts is what a load has counted so far.
type LoadCounts struct {
	// Sent requests were answered or broke; Broken is how many of them got no answer; Missed is how many were due but
	// not sent.
	Sent, Broken, Missed int
	// Status counts answers by version (header X-Version, empty where a gateway answered itself) and status.
	Status map[string]map[int]int
	// LastError is the last broken request's error; empty for none.
	LastError string
}

// Answered is the number of answers from a version, over all statuses.
func (c LoadCounts) Answered(version string) int {
	n := 0
	for _, k := range c.Status[version] {
		n += k
	}
	return n
}

// Failed is the number of answers with status 500 and above from a version.
func (c LoadCounts) Failed(version string) int {
	n := 0
	for status, k := range c.Status[version] {
		if status >= http.StatusInternalServerError {
			n += k
		}
	}
	return n
}

// Load is a running load.
type Load struct {
	config LoadConfig
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards counts
	counts LoadCounts
}

// StartLoad starts a load. It ends with ctx, by its own limits, or by Stop.
func StartLoad(ctx context.Context, c LoadConfig) *Load {
	if c.Workers <= 0 {
		c.Workers = 16
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithCancel(ctx)
	if c.Duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
	}
	l := &Load{
		config: c, cancel: cancel, done: make(chan struct{}), counts: LoadCounts{Status: map[string]map[int]int{}},
		client: &http.Client{
			Jar:           c.Jar,
			Timeout:       c.Timeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: c.Workers, MaxConnsPerHost: c.Workers, TLSClientConfig: c.TLS},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	go l.run(ctx)
	return l
}

// Stop ends the load and waits until no request is under way.
func (l *Load) Stop() LoadCounts {
	l.cancel()
	return l.Wait()
}

// Wait waits until the load has ended by itself, and returns its counts.
func (l *Load) Wait() LoadCounts {
	<-l.done
	return l.Counts()
}

// Counts is a copy of the counts so far.
func (l *Load) Counts() LoadCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Status = map[string]map[int]int{}
	for version, byStatus := range l.counts.Status {
		c.Status[version] = maps.Clone(byStatus)
	}
	return c
}

func (l *Load) run(ctx context.Context) {
	defer close(l.done)
	defer l.client.CloseIdleConnections()
	defer l.cancel()
	due := make(chan int)
	var workers sync.WaitGroup
	for range l.config.Workers {
		workers.Go(func() {
			for n := range due {
				l.send(ctx, n)
			}
		})
	}
	l.schedule(ctx, due)
	close(due)
	workers.Wait()
}

// schedule hands out the requests at their times: the n-th is due n/Rate after the start, however late the ones
// before it were.
func (l *Load) schedule(ctx context.Context, due chan<- int) {
	start := time.Now()
	for n := 0; l.config.Requests == 0 || n < l.config.Requests; n++ {
		if l.config.Rate <= 0 {
			select {
			case due <- n:
				continue
			case <-ctx.Done():
				return
			}
		}
		at := start.Add(time.Duration(float64(n) / l.config.Rate * float64(time.Second)))
		if wait := time.Until(at); wait > 0 && !pause(ctx, wait) || ctx.Err() != nil {
			return
		}
		select {
		case due <- n:
		default:
			l.mu.Lock()
			l.counts.Missed++
			l.mu.Unlock()
		}
	}
}

func (l *Load) send(ctx context.Context, n int) {
	version, status, err := l.request(ctx, n)
	if err != nil && ctx.Err() != nil {
		return // the load ended while it was under way: neither an answer nor a fault
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Sent++
	if err != nil {
		l.counts.Broken++
		l.counts.LastError = err.Error()
		return
	}
	if l.counts.Status[version] == nil {
		l.counts.Status[version] = map[int]int{}
	}
	l.counts.Status[version][status]++
}

func (l *Load) request(ctx context.Context, n int) (version string, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.config.URL, nil)
	if err != nil {
		return "", 0, err
	}
	for name, values := range l.config.Header {
		req.Header[name] = append([]string(nil), values...)
	}
	if l.config.Host != "" {
		req.Host = l.config.Host
	}
	for _, c := range l.config.Cookies {
		req.AddCookie(c)
	}
	if l.config.Vary != nil {
		l.config.Vary(n, req)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // read to its end, so that the connection can be reused
	return resp.Header.Get(VersionHeader), resp.StatusCode, errors.Join(err, resp.Body.Close())
}

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// gauge shows progress as a bar on stderr, if that is a terminal.
type gauge struct {
	out   io.Writer
	what  string
	mu    sync.Mutex // guards all below
	done  int
	all   int
	shown int
	over  bool
}

func (a *app) progressBar(what string, all int) *gauge {
	p := &gauge{what: what, all: all}
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor fits
		p.out = a.stderr
	}
	return p
}

// more adds steps to the total.
func (p *gauge) more(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all += n
}

// barWidth is how many characters a bar has.
const barWidth = 40

// step counts one step. It draws only when the bar grows.
func (p *gauge) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	full := barWidth * p.done / max(p.all, 1)
	if p.out == nil || p.over || full == p.shown {
		return
	}
	p.shown = full
	full = min(full, barWidth)
	_, _ = fmt.Fprintf(p.out, "\r%s [%s%s] %d of %d", p.what, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), p.done, p.all)
}

// end removes the bar.
func (p *gauge) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil && !p.over {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.over = true
}

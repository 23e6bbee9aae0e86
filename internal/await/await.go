// Package await answers the question how long a test waits for servers, pages and other goroutines.
//
// How long that takes depends on the machine, and says nothing about Serin. So every test has the same patience, far
// longer than anything takes on a busy machine, and stops waiting as soon as it has what it waits for: a wait that runs
// out means that something never happens, not that it is slow. Tests which prove that something does not happen, or not
// too early, cannot use this package.
//
// Conditions run in the goroutine of the test, so they may use require. True and Until call them less often the longer they
// have waited, so that a wait is at most a tenth longer than necessary, and at most a tenth of a second. A pause is also at
// least twice as long as the last call took, so that an expensive condition, such as one that starts a program, leaves the
// machine to what it waits for.
package await

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for what has to happen.
const Patience = 5 * time.Minute

const (
	shortest = time.Millisecond
	longest  = 100 * time.Millisecond
)

// True waits until done returns true, and fails the test if it never does. msgAndArgs are as in package require; an
// argument that is a func() string is called when the wait has failed, to say what was seen last.
func True(tb testing.TB, done func() bool, msgAndArgs ...any) {
	tb.Helper()
	if poll(Patience, done) {
		return
	}
	for i, arg := range msgAndArgs {
		if late, ok := arg.(func() string); ok {
			msgAndArgs[i] = late()
		}
	}
	require.FailNow(tb, "it never happens", msgAndArgs...)
}

// Until waits for what until check returns an empty text, and fails the test with the text that it returned last if it
// never does.
func Until(tb testing.TB, what string, check func() string) {
	tb.Helper()
	UntilAfter(tb, Patience, what, check)
}

// UntilAfter is Until with its own patience, for what takes long even on a fast machine.
func UntilAfter(tb testing.TB, patience time.Duration, what string, check func() string) {
	tb.Helper()
	var last string
	if !poll(patience, func() bool { last = check(); return last == "" }) {
		require.FailNow(tb, what, "%s", last)
	}
}

// Receive waits for a value from c, or for its end, and fails the test if neither comes. A closed channel yields the zero
// value.
func Receive[T any](tb testing.TB, c <-chan T, msgAndArgs ...any) T {
	tb.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(tb, "nothing arrives", msgAndArgs...)
		panic("unreachable: FailNow ends the goroutine")
	}
}

func poll(patience time.Duration, done func() bool) bool {
	first := time.Now()
	for {
		begun := time.Now()
		if done() {
			return true
		}
		waited, took := time.Since(first), time.Since(begun)
		if waited > patience {
			return false
		}
		time.Sleep(max(shortest, min(waited/10, longest), 2*took))
	}
}

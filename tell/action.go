package tell

import (
	"net/netip"
	"strings"
)

// Action is a request of people or programs to Serin, with its name in the audit log and its words for people. The
// words fit both what was done and what was refused.
type Action struct{ Name, Words string }

// Actions lists the actions of the audit log, the most specific first.
var Actions = []Action{
	{"startRelease", "Start a release"}, {"answerGate", "Answer a gate"}, {"pauseRelease", "Pause"},
	{"resumeRelease", "Resume"}, {"promoteRelease", "Go on without waiting"}, {"undoRollout", "Undo a release"}, {"retryRollout", "Retry a release"},
	{"rollbackRelease", "Roll back"}, {"cancelRelease", "Cancel a release"}, {"dismissAlarm", "Dismiss an alarm"},
	{"signIn", "Sign in"}, {"signOut", "Sign out"}, {"startRun", "Start a pipeline's run"}, {"cancelRun", "Cancel a pipeline's run"},
	{"cancelRunByKey", "Cancel a pipeline's run by its key"},
}

// ActionWords is an action in words; one without words keeps its name.
func ActionWords(name string) string {
	for _, a := range Actions {
		if a.Name == name {
			return a.Words
		}
	}
	return name
}

// Machine is where an action came from, for people. Of "10.0.0.7:52114 for 203.0.113.9" in the audit log it drops the
// port and puts the person's own machine first.
func Machine(from string) string {
	peer, person, proxied := strings.Cut(from, " for ")
	if address, err := netip.ParseAddrPort(peer); err == nil {
		peer = address.Addr().String()
	}
	if proxied {
		return person + " by " + peer
	}
	return peer
}

package tell

import (
	"net/netip"
	"strings"
)

// Action is something that people and programs ask Serin for, as the audit log names it and as people say it. The words
// fit what was done and what was refused.
type Action struct{ Name, Words string }

// Actions are those that the audit log knows, the most specific first.
var Actions = []Action{
	{"startRelease", "Start a release"}, {"answerGate", "Answer a gate"}, {"pauseRelease", "Pause"}, {"resumeRelease", "Resume"}, {"promoteRelease", "Go on without waiting"}, {"undoRollout", "Undo a release"}, {"retryRollout", "Retry a release"},
	{"rollbackRelease", "Roll back"}, {"cancelRelease", "Cancel a release"}, {"dismissAlarm", "Dismiss an alarm"},
	{"signIn", "Sign in"}, {"signOut", "Sign out"}, {"startRun", "Start a pipeline's run"}, {"cancelRun", "Cancel a pipeline's run"},
	{"cancelRunByKey", "Cancel a pipeline's run by its key"},
}

// ActionWords is an action in words; one that has none is shown as it is named.
func ActionWords(name string) string {
	for _, a := range Actions {
		if a.Name == name {
			return a.Words
		}
	}
	return name
}

// Machine is where an action came from, for people: the audit log has "10.0.0.7:52114 for 203.0.113.9", of which the port says
// nothing and the person's own machine stands first.
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

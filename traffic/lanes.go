package traffic

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/serindev/serin/share"
)

// Lane is one of the ways in which requests reach the versions. A gateway counts the requests of each lane under separate
// names, so that copies and previews never count as users.
type Lane string

// The lanes.
const (
	// MainLane is the rollout's route, for all users who are on no other lane.
	MainLane Lane = ""
	// CohortLane is the route of an A/B step, in front of the main one.
	CohortLane Lane = "cohort"
	// MirrorLane is the route whose requests stable answers, with copies for the canary.
	MirrorLane Lane = "mirror"
	// PreviewLane is a route to the canary alone.
	PreviewLane Lane = "preview"
)

// Lanes lists all lanes, in ascending precedence: a request belongs to the last one that matches.
func Lanes() []Lane { return []Lane{MainLane, CohortLane, MirrorLane, PreviewLane} }

// SafeMethods are the methods that change nothing on a server (RFC 9110, section 9.2.1), without TRACE.
var SafeMethods = []string{"GET", "HEAD", "OPTIONS"}

// DefaultMaxBodySize bounds the bodies of copied requests, in bytes, unless a mirror says otherwise: the gateway holds each
// body in memory until the copy is sent.
const DefaultMaxBodySize = 1 << 20

// Mirror sends copies of users' requests to the canary. Stable answers the users; the canary's answers are discarded.
type Mirror struct {
	// Share is that of the requests that are copied, in whole percents from 1% to 100%.
	Share share.Share `json:"share"`
	// Methods are those of the requests that are copied, in capitals. None means [SafeMethods].
	Methods []string `json:"methods,omitempty"`
	// AllMethods copies requests of every method, including those that write. It excludes Methods.
	AllMethods bool `json:"allMethods,omitempty"`
	// MaxBodySize bounds the body of a copied request, in bytes: larger requests are answered but not copied. 0 means
	// [DefaultMaxBodySize].
	MaxBodySize int64 `json:"maxBodySize,omitempty"`
}

// Exposure is the canary's part of all requests counted on the mirror's lane, which are those that stable answers and the
// copies.
func (m Mirror) Exposure() share.Share { return m.Share / (1 + m.Share) }

// Percent returns the share as gateways take it. Its error says why the share is invalid.
func (m Mirror) Percent() (int, error) {
	percent := math.Round(float64(m.Share) * 100)
	if !(m.Share > 0 && m.Share <= 1) || math.Abs(float64(m.Share)*100-percent) > weightTolerance {
		return 0, fmt.Errorf("mirror: share %s is not one of 1%%, 2%%, … 100%%: gateways copy whole percents", m.Share)
	}
	return int(percent), nil
}

// MaxBody is the bound on copied bodies, in bytes.
func (m Mirror) MaxBody() int64 {
	if m.MaxBodySize == 0 {
		return DefaultMaxBodySize
	}
	return m.MaxBodySize
}

// Validate reports everything that is wrong with a mirror.
func (m Mirror) Validate() error {
	_, err := m.Percent()
	errs := []error{err}
	if m.AllMethods && len(m.Methods) > 0 {
		errs = append(errs, errors.New("mirror: methods and allMethods exclude each other"))
	}
	for _, method := range m.Methods {
		if len(token7230("", method)) > 0 || strings.ToUpper(method) != method {
			errs = append(errs, fmt.Errorf("mirror: %q is not a method such as GET", method))
		}
	}
	if m.MaxBodySize < 0 {
		errs = append(errs, fmt.Errorf("mirror: maxBodySize %d is negative", m.MaxBodySize))
	}
	return errors.Join(errs...)
}

// noUpgrade keeps requests for another protocol, such as WebSockets, from being copied: such a connection to the canary
// would have no client, and would count as an error.
const noUpgrade = "!HeaderRegexp(`Upgrade`, `.`)"

// Text returns a matcher for the requests on the mirror's lane, in the notation of [Matcher.Text].
func (m Mirror) Text() string {
	if m.AllMethods {
		return noUpgrade
	}
	methods := m.Methods
	if len(methods) == 0 {
		methods = SafeMethods
	}
	methods = slices.Compact(slices.Sorted(slices.Values(methods)))
	for i, method := range methods {
		methods[i] = call("Method", method)
	}
	return "(" + strings.Join(methods, " || ") + ") && " + noUpgrade
}

// Preview is a route to the canary alone, for people who try it before users get it.
type Preview struct {
	// Host, if set, is a host name of the preview's own, whose requests all go to the canary.
	Host string `json:"host,omitempty"`
	// Match, if set, selects some of the host's requests or, without a host, some of those on the rollout's route.
	Match *Matcher `json:"match,omitempty"`
}

// Validate reports everything that is wrong with a preview.
func (p Preview) Validate() error {
	_, err := p.Text()
	return err
}

// Text returns a matcher for the requests on the preview's lane, in the notation of [Matcher.Text].
func (p Preview) Text() (string, error) {
	if p.Host == "" && p.Match == nil {
		return "", errors.New("preview: expected a host, a matcher, or both")
	}
	var parts []string
	if p.Host != "" {
		if !isHost(p.Host) {
			return "", fmt.Errorf("preview: %q is not a host name such as preview.example.com", p.Host)
		}
		parts = append(parts, call("Host", p.Host))
	}
	if p.Match == nil {
		return parts[0], nil
	}
	match, err := p.Match.Text()
	if err != nil {
		return "", fmt.Errorf("preview: %w", err)
	}
	if len(parts) == 0 {
		return match, nil
	}
	return parts[0] + " && (" + match + ")", nil
}

// isHost reports whether s is a host name in lower case: RFC 1123, section 2.1.
func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		letters := strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-")
		if label == "" || len(label) > 63 || letters != "" || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}

// ValidateLanes reports what is wrong with the lanes of a target. A mirror excludes users on the canary, because their
// requests would be mixed with copies in the comparison.
func (t Target) ValidateLanes() error {
	var errs []error
	if t.Mirror != nil {
		errs = append(errs, t.Mirror.Validate())
		if t.Weight > 0 || t.Cohort != nil {
			errs = append(errs, errors.New("mirror: the canary gets copies only while no user's request goes to it"))
		}
	}
	if t.Preview != nil {
		errs = append(errs, t.Preview.Validate())
	}
	return errors.Join(errs...)
}

// ValidateConnections refuses what a route of TCP cannot do.
func (t Target) ValidateConnections() error {
	if t.Sticky != "" || t.Cohort != nil || t.Mirror != nil || t.Preview != nil || len(t.Guards.Names()) > 0 {
		return errors.New("a TCP route sees connections, not requests: it divides them by weight, and has no " +
			"cohorts, sticky users, mirrors, previews or guards")
	}
	return nil
}

func differLanes(who string, t Target, s Served) []string {
	var out []string
	switch what := who + ": mirror route"; {
	case t.Mirror != nil:
		out = append(out, differMirror(what, *t.Mirror, t, s.Mirror)...)
	case s.Mirror != nil:
		out = append(out, what+" is still there")
	}
	switch what := who + ": preview route"; {
	case t.Preview != nil:
		out = append(out, differRoute(what, 1, t, s.Preview)...)
		match, err := t.Preview.Text()
		out = append(out, differMatch(what, match, err, s.Preview)...)
	case s.Preview != nil:
		out = append(out, what+" is still there")
	}
	return out
}

func differMirror(what string, m Mirror, t Target, s *RouteServed) []string {
	out := differRoute(what, m.Share, t, s)
	out = append(out, differMatch(what, m.Text(), nil, s)...)
	if s != nil && s.MaxBody != m.MaxBody() {
		out = append(out, what+": maxBodySize is "+strconv.FormatInt(s.MaxBody, 10)+", not "+strconv.FormatInt(m.MaxBody(), 10))
	}
	return out
}

func differMatch(what, want string, err error, s *RouteServed) []string {
	switch {
	case s == nil:
		return nil // reported already
	case err != nil:
		return []string{what + ": " + err.Error()}
	case want != s.Match:
		return []string{fmt.Sprintf("%s matches %s, not %s", what, s.Match, want)}
	}
	return nil
}

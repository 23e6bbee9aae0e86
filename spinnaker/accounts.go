package spinnaker

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The two accounts that always exist. Options may give each further names.
const (
	prometheusAccount = "prometheus"
	serinAccount      = "serin"
)

// The kinds of account.
const (
	metricsStore       = "METRICS_STORE"
	objectStore        = "OBJECT_STORE"
	configurationStore = "CONFIGURATION_STORE"
)

// account is an entry of GET /credentials. Clients cannot read the list at all if an entry lacks its name or type.
type account struct {
	Name                 string            `json:"name"`
	Type                 string            `json:"type"`
	SupportedTypes       []string          `json:"supportedTypes"`
	Locations            []string          `json:"locations"`
	RecommendedLocations []string          `json:"recommendedLocations"`
	Endpoint             map[string]string `json:"endpoint,omitempty"`
}

func (s *Service) credentials(*http.Request) (*reply, error) {
	var all []account
	for _, name := range s.names(prometheusAccount) {
		all = append(all, account{
			Name: name, Type: "prometheus", SupportedTypes: []string{metricsStore}, Locations: []string{},
			RecommendedLocations: []string{}, Endpoint: map[string]string{"baseUrl": s.o.MetricsURL},
		})
	}
	for _, name := range s.names(serinAccount) {
		all = append(all, account{
			Name: name, Type: "serin", SupportedTypes: []string{objectStore, configurationStore}, Locations: []string{},
			RecommendedLocations: []string{},
		})
	}
	return ok(all), nil
}

// accountsOf returns the accounts that a request names, or the defaults.
func (s *Service) accountsOf(r *http.Request) (a accounts, err error) {
	if a.Metrics, err = s.accountOf(r, "metricsAccountName", prometheusAccount); err != nil {
		return a, err
	}
	if a.Configuration, err = s.accountOf(r, "configurationAccountName", serinAccount); err != nil {
		return a, err
	}
	a.Storage, err = s.accountOf(r, "storageAccountName", serinAccount)
	return a, err
}

// accountOf returns the name by which a request refers to an account, or the account's own name if it gives none. It
// refuses a name that no account has.
func (s *Service) accountOf(r *http.Request, parameter, account string) (string, error) {
	name := r.URL.Query().Get(parameter)
	switch {
	case name == "":
		return account, nil
	case slices.Contains(s.names(account), name):
		return name, nil
	}
	return "", bad("Unable to resolve account %s.", name)
}

// names lists all names of an account, its own first.
func (s *Service) names(account string) []string {
	more := s.o.StorageNames
	if account == prometheusAccount {
		more = s.o.MetricsNames
	}
	return append([]string{account}, more...)
}

// checkAccount refuses a name that no account has.
func (s *Service) checkAccount(r *http.Request, parameter, account string) error {
	_, err := s.accountOf(r, parameter, account)
	return err
}

// judgeInfo is an entry of GET /judges; Deck shows the visible ones.
type judgeInfo struct {
	Name    string `json:"name"`
	Visible bool   `json:"visible"`
}

func (s *Service) judges(*http.Request) (*reply, error) {
	var all []judgeInfo
	for _, j := range judgeNames {
		all = append(all, judgeInfo{j, true})
	}
	return ok(all), nil
}

// nameCache keeps the metric names for a minute, as Kayenta does: Deck asks again for every letter the user types.
type nameCache struct {
	mu    sync.Mutex // guards what follows
	names []string
	until time.Time
}

const (
	keepNames = time.Minute
	// maxNames bounds one answer: it is a list that a person chooses from.
	maxNames = 1000
)

func (c *nameCache) get(ctx context.Context, m Metrics) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.After(c.until) {
		names, err := m.MetricNames(ctx)
		if err != nil {
			return c.names, err
		}
		c.names, c.until = names, now.Add(keepNames)
	}
	return c.names, nil
}

// metricsService lists metric names. Without Prometheus the list is empty rather than an error, because Deck waits for
// it before it shows anything.
func (s *Service) metricsService(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "metricsAccountName", prometheusAccount); err != nil {
		return nil, err
	}
	names, err := s.cached.get(r.Context(), s.o.Metrics)
	if err != nil {
		s.o.Log.Warn("list metric names", "err", err)
	}
	filter := strings.ToLower(r.URL.Query().Get("filter"))
	out := []map[string]string{}
	for _, name := range names {
		if len(out) < maxNames && strings.Contains(strings.ToLower(name), filter) {
			out = append(out, map[string]string{"name": name})
		}
	}
	return ok(out), nil
}

func (s *Service) health(*http.Request) (*reply, error) {
	return ok(map[string]string{"status": "UP"}), nil
}

// queryList splits a parameter at its commas; the parameter may occur several times.
func queryList(r *http.Request, parameter string) []string {
	var out []string
	for _, v := range r.URL.Query()[parameter] {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one != "" && !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out
}

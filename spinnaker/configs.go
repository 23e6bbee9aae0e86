package spinnaker

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/serindev/serin/judge/kayenta"
	"github.com/serindev/serin/record"
	"github.com/serindev/serin/spinnaker/kept"
	"github.com/serindev/serin/spinnaker/metricset"
)

// configName is Kayenta's pattern for names of configs. It accepts commas by an oversight, and so does Serin.
var configName = regexp.MustCompile(`^[A-Za-z0-9,_-]*$`)

// maxID bounds an id that a caller chose, which becomes part of paths and of an index.
const maxID = 200

// listedConfig is an entry of GET /canaryConfig. Clients need every field in every entry.
type listedConfig struct {
	ID                  string   `json:"id"`
	Name                string   `json:"name"`
	UpdatedTimestamp    int64    `json:"updatedTimestamp"`
	UpdatedTimestampISO string   `json:"updatedTimestampIso"`
	Applications        []string `json:"applications"`
}

func (s *Service) listConfigs(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "configurationAccountName", serinAccount); err != nil {
		return nil, err
	}
	bodies, err := s.o.Store.CanaryConfigs(r.Context())
	if err != nil {
		return nil, err
	}
	wanted := queryList(r, "application")
	out := []listedConfig{}
	for _, body := range bodies {
		var c listedConfig
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, fmt.Errorf("read a stored canary config: %w", err)
		}
		common := slices.ContainsFunc(c.Applications, func(a string) bool { return slices.Contains(wanted, a) })
		if len(wanted) == 0 || common {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b listedConfig) int { return cmp.Compare(a.Name, b.Name) })
	return ok(out), nil
}

func (s *Service) readConfig(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "configurationAccountName", serinAccount); err != nil {
		return nil, err
	}
	body, err := s.storedConfig(r, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return ok(body), nil
}

// storedConfig returns the body of a config. The error for a missing one is Kayenta's.
func (s *Service) storedConfig(r *http.Request, id string) (json.RawMessage, error) {
	body, err := s.o.Store.CanaryConfig(r.Context(), id)
	if errors.Is(err, record.ErrNotFound) {
		return nil, notFound("No such object named %s", id)
	}
	return body, err
}

// configID is the answer to creating or updating a config.
type configID struct {
	ID string `json:"canaryConfigId"`
	// Warnings say which parts of the config will not do what they seem to. Kayenta's clients ignore them.
	Warnings []string `json:"serinWarnings,omitempty"`
}

func (s *Service) createConfig(r *http.Request) (*reply, error) {
	c, err := s.configBody(r)
	if err != nil {
		return nil, err
	}
	now := instant{time.Now().UTC().Truncate(time.Millisecond)}
	if c.CreatedTimestamp == 0 {
		c.CreatedTimestamp = now.millis()
	}
	if c.UpdatedTimestamp == 0 {
		c.UpdatedTimestamp = c.CreatedTimestamp
	}
	c.CreatedTimestampISO = instant{time.UnixMilli(c.CreatedTimestamp)}.String()
	c.UpdatedTimestampISO = instant{time.UnixMilli(c.UpdatedTimestamp)}.String()
	if c.ID == "" {
		c.ID = newUUID()
	}
	if len(c.ID) > maxID || strings.ContainsAny(c.ID, "/\x00") {
		return nil, bad("Canary config id '%.40s' is longer than %d bytes, or has a slash in it.", c.ID, maxID)
	}
	if err := s.checkConfig(c); err != nil {
		return nil, err
	}
	stored, err := storable(c)
	if err != nil {
		return nil, err
	}
	err = s.o.Store.CreateCanaryConfig(r.Context(), stored)
	if errors.Is(err, record.ErrConflict) {
		if _, readErr := s.o.Store.CanaryConfig(r.Context(), c.ID); readErr == nil {
			return nil, bad("Canary config '%s' already exists.", c.ID)
		}
		return nil, nameTaken(c)
	}
	if err != nil {
		return nil, err
	}
	return ok(configID{c.ID, s.configWarnings(c)}), nil
}

func (s *Service) updateConfig(r *http.Request) (*reply, error) {
	c, err := s.configBody(r)
	if err != nil {
		return nil, err
	}
	c.ID = r.PathValue("id")
	now := instant{time.Now().UTC().Truncate(time.Millisecond)}
	c.UpdatedTimestamp, c.UpdatedTimestampISO = now.millis(), now.String()
	if c.CreatedTimestamp != 0 {
		c.CreatedTimestampISO = instant{time.UnixMilli(c.CreatedTimestamp)}.String()
	}
	if err := s.checkConfig(c); err != nil {
		return nil, err
	}
	stored, err := storable(c)
	if err != nil {
		return nil, err
	}
	err = s.o.Store.UpdateCanaryConfig(r.Context(), stored)
	switch {
	case errors.Is(err, record.ErrNotFound):
		return nil, bad("Canary config '%s' does not exist.", c.ID)
	case errors.Is(err, record.ErrConflict):
		return nil, nameTaken(c)
	case err != nil:
		return nil, err
	}
	return ok(configID{c.ID, s.configWarnings(c)}), nil
}

// configWarnings says when a config is saved what would go wrong in each of its runs. Like Kayenta, Serin stores it all
// the same.
func (s *Service) configWarnings(c kayenta.Config) []string {
	all := metricset.ConfigWarnings(c, s.o.Rules)
	if _, err := chosen(c); err != nil {
		all = append(all, fmt.Sprintf("every run of this config will fail: %v", err))
	}
	return all
}

func nameTaken(c kayenta.Config) error {
	return bad("Canary config with name '%s' already exists in the scope of applications [%s].", c.Name, strings.Join(c.Applications, ", "))
}

func (s *Service) deleteConfig(r *http.Request) (*reply, error) {
	if err := s.checkAccount(r, "configurationAccountName", serinAccount); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	err := s.o.Store.DeleteCanaryConfig(r.Context(), id)
	switch {
	case errors.Is(err, record.ErrNotFound):
		return nil, notFound("No such object named %s", id)
	case err != nil:
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

func (s *Service) configBody(r *http.Request) (kayenta.Config, error) {
	if err := s.checkAccount(r, "configurationAccountName", serinAccount); err != nil {
		return kayenta.Config{}, err
	}
	b, err := readBody(r, kayenta.MaxConfig, decodedTimes)
	if err != nil {
		return kayenta.Config{}, err
	}
	return decodeConfig(b)
}

// decodeConfig reads a config from a request.
func decodeConfig(b []byte) (kayenta.Config, error) {
	c, err := kayenta.DecodeConfig(quoteBare(b))
	if err != nil {
		return kayenta.Config{}, bad("%v", err)
	}
	if err := metricset.CheckSources(c); err != nil {
		return kayenta.Config{}, bad("%v", err)
	}
	for i := range c.Metrics {
		m := &c.Metrics[i]
		m.Query.ServiceType = m.Query.Type // Kayenta always writes it, and Deck reads only this one
		if m.Groups == nil {
			m.Groups = []string{} // Kayenta writes an empty list where there is none
		}
	}
	if c.Classifier == nil {
		c.Classifier = &kayenta.ConfigClassifier{GroupWeights: map[string]float64{}}
	}
	return c, nil
}

// checkConfig applies Kayenta's checks before a config is stored, with its messages and in its order.
func (s *Service) checkConfig(c kayenta.Config) error {
	switch {
	case c.Name == "":
		return bad("Canary config must specify a name.")
	case len(c.Applications) == 0:
		return bad("Canary config must specify at least one application.")
	case !configName.MatchString(c.Name):
		return bad("Canary config cannot be named '%s'. Names must contain only letters, numbers, dashes (-) and underscores (_).", c.Name)
	case len(c.Name) > maxID:
		return bad("Canary config cannot have a name of more than %d bytes.", maxID)
	}
	for _, a := range c.Applications {
		if len(a) > maxID || strings.ContainsRune(a, 0) {
			return bad("Canary config cannot have an application of more than %d bytes.", maxID)
		}
	}
	seen := map[string]bool{}
	for _, m := range c.Metrics {
		if m.Name == "" {
			return bad("Metric config must specify a name.")
		}
		if seen[m.Name] {
			return bad("Metric config name must be unique. '%s' is duplicated.", m.Name)
		}
		seen[m.Name] = true
	}
	return nil
}

func storable(c kayenta.Config) (kept.Config, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return kept.Config{}, bad("the canary config cannot be encoded: %v", err)
	}
	return kept.Config{ID: c.ID, Name: c.Name, Applications: c.Applications, Body: b}, nil
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

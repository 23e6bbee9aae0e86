package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/serindev/serin/workload"
)

// Variables of an arm in queries, in addition to the rollout's parameters. Version and pods are known on Kubernetes
// only, instances and hosts only where the arms are lists of servers.
const (
	varService   = "service"
	varArm       = "arm"
	varVersion   = "version"
	varPods      = "pods"
	varInstances = "instances"
	varHosts     = "hosts"
)

var armNames = []string{varArm, varHosts, varInstances, varPods, varService, varVersion}

// releaseNames are variables in a webhook's address and body that stand for the release, unless the rollout has
// parameters of these names.
var releaseNames = []string{"rollout", "release", "revision", "step", "version", "reason"}

var errOpen = errors.New("${ is not closed by }")

// placeholders lists the names between ${ and } in a text, in order, each once.
func placeholders(text string) ([]string, error) {
	var out []string
	for {
		_, after, found := strings.Cut(text, "${")
		if !found {
			return out, nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return out, errOpen
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
		text = rest
	}
}

// SubstituteURL puts values into an address, as [workload.FillAddress] does. Only the part after the host may have
// placeholders.
func SubstituteURL(text string, values map[string]string) (string, error) {
	if err := checkTemplateURL(text); err != nil {
		return "", err
	}
	out, err := workload.FillAddress(text, values)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	return out, nil
}

// checkTemplateURL refuses anything but an http address, and placeholders that could change where it leads.
func checkTemplateURL(text string) error {
	before, _, templated := strings.Cut(text, "${")
	if err := checkURL(strings.NewReplacer("${", "", "}", "").Replace(text)); err != nil {
		return err
	}
	if _, host, ok := strings.Cut(before, "://"); templated && (!ok || !strings.ContainsAny(host, "/?#")) {
		return errors.New("a placeholder is allowed only after the host")
	}
	return nil
}

// SubstituteJSON puts values into a JSON text, escaped for the inside of a string. It returns an error if a
// placeholder stands anywhere else, or the text is not JSON.
func SubstituteJSON(text string, values map[string]string) (string, error) {
	if err := checkTemplateJSON(text); err != nil {
		return "", err
	}
	out, err := workload.FillEscaped(text, values, escapeJSON)
	if err != nil {
		return "", fmt.Errorf("body: %w", err)
	}
	return out, nil
}

func escapeJSON(v string) string {
	b, err := json.Marshal(strings.ToValidUTF8(v, "\uFFFD"))
	if err != nil {
		return "" // strings always marshal
	}
	return string(b[1 : len(b)-1])
}

// checkTemplateJSON puts a bare letter in place of every placeholder: the result is JSON only if all stand inside quotes.
func checkTemplateJSON(text string) error {
	names, err := placeholders(text)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, n := range names {
		values[n] = "a"
	}
	filled, err := workload.Fill(text, values)
	if err != nil {
		return err
	}
	if !json.Valid([]byte(filled)) {
		if len(names) > 0 {
			return errors.New("it is not JSON, or a placeholder is outside quotes")
		}
		return errors.New("it is not JSON")
	}
	return nil
}

package traefikapi

import (
	"errors"
	"fmt"

	"github.com/serindev/serin/traffic"
)

// Answered returns what was observed of a rollout's traffic. It returns an error if nothing answered: the configuration
// could not be read, for the reason unread, and no replica said what it serves.
func Answered(rollout string, o traffic.Observed, unread error) (traffic.Observed, error) {
	if unread == nil {
		return o, nil
	}
	errs := []error{unread}
	for _, replica := range o.Replicas {
		if replica.Err == "" {
			return o, nil
		}
		errs = append(errs, fmt.Errorf("replica %s: %s", replica.Name, replica.Err))
	}
	return traffic.Observed{}, fmt.Errorf("observe the traffic of %s: %w", rollout, errors.Join(errs...))
}

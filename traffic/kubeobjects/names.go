package kubeobjects

import (
	"errors"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/serindev/serin/traffic"
)

// CohortSuffix ends the names of objects that belong to a cohort.
const CohortSuffix = "-ab"

// Suffix ends the names of objects that belong to a lane; it is empty for the main one.
func Suffix(lane traffic.Lane) string {
	switch lane {
	case traffic.CohortLane:
		return CohortSuffix
	case traffic.MirrorLane:
		return "-mirrored"
	case traffic.PreviewLane:
		return "-previewed"
	case traffic.MainLane:
	}
	return ""
}

// maxLabel is the longest label that Kubernetes accepts.
const maxLabel = validation.DNS1123LabelMaxLength

// LaneBackend is an arm on a lane: on lanes other than the main one, a separate Service with the same pods and the same
// port.
func LaneBackend(b traffic.Backend, lane traffic.Lane) traffic.Backend {
	if lane == traffic.MainLane {
		return b
	}
	return traffic.Backend{Service: Derived(b.Service, Suffix(lane)), Port: b.Port}
}

// CohortBackend is an arm of the cohort.
func CohortBackend(b traffic.Backend) traffic.Backend { return LaneBackend(b, traffic.CohortLane) }

// Derived is [traffic.Derived] for a name that has to be a label.
func Derived(name, suffix string) string { return traffic.Derived(name, suffix, maxLabel) }

// Label returns an error if s is not a name without dots of at most so many characters. what names the thing in the
// error.
func Label(what, s string, most int) error {
	if problems := validation.IsDNS1123Label(s); len(problems) > 0 || len(s) > most {
		return fmt.Errorf("%s %q: small letters, digits and '-' are allowed, at most %d, no '-' at an end", what, s, most)
	}
	return nil
}

// ObjectName returns an error if s cannot be the name of a user's object, for which Kubernetes accepts dots and more
// characters.
func ObjectName(what, s string) error {
	if problems := validation.IsDNS1123Subdomain(s); len(problems) > 0 {
		return fmt.Errorf("%s %q: small letters, digits, '-' and '.' are allowed, at most 253, no sign at an end", what, s)
	}
	return nil
}

// CheckArm returns an error if a backend is not a Service with a port.
func CheckArm(what string, b traffic.Backend) error {
	errs := []error{Label(what+"'s Service", b.Service, maxLabel)}
	if len(b.Servers) > 0 {
		errs = append(errs, fmt.Errorf("%s has servers: on Kubernetes it is a Service", what))
	}
	number, err := strconv.Atoi(b.Port)
	if err == nil && (len(validation.IsValidPortNum(number)) > 0 || strconv.Itoa(number) != b.Port) ||
		err != nil && len(validation.IsValidPortName(b.Port)) > 0 {
		errs = append(errs, fmt.Errorf("%s's port %q is neither a number nor a name", what, b.Port))
	}
	return errors.Join(errs...)
}

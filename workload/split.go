package workload

import (
	"errors"
	"fmt"
	"math"

	"github.com/serindev/serin/share"
)

// Split means that no route divides the work between the arms: each takes work in proportion to its pods, as the workers of
// a queue do.
type Split struct {
	// Total is how many pods both arms have together; 0 is as many as stable has between releases.
	Total int `json:"total,omitempty"`
	// Tolerance is how far the share that whole pods can take may be from the weight; 0 is any distance.
	Tolerance share.Share `json:"tolerance,omitempty"`
}

// errNoPods is the error of a division of nothing.
var errNoPods = errors.New("there are no pods to divide")

// Divide returns how many of total pods each arm has at a weight of the canary's: the whole numbers that come nearest to
// it, and at least one for an arm that has a part of the work. So a single pod gets a second one.
func (s Split) Divide(total int64, weight share.Share) (stable, canary int64, err error) {
	switch {
	case total < 1:
		return 0, 0, errNoPods
	case weight <= 0:
		return total, 0, nil
	case weight >= 1:
		return 0, total, nil
	}
	canary = min(max(1, int64(math.Round(float64(weight)*float64(total)))), max(1, total-1))
	stable = max(1, total-canary)
	return stable, canary, s.near(stable, canary, weight)
}

// Alongside returns how many pods the canary needs next to stable's, whose number is decided by an autoscaler.
func (s Split) Alongside(stable int64, weight share.Share) (canary int64, err error) {
	switch {
	case stable < 1:
		return 0, errNoPods
	case weight <= 0:
		return 0, nil
	case weight >= 1:
		return 0, errors.New("stable's pods are an autoscaler's, so the canary cannot take all of the work")
	}
	canary = max(1, int64(math.Round(float64(stable)*float64(weight)/(1-float64(weight)))))
	return canary, s.near(stable, canary, weight)
}

// Served is the canary's share of the work, by pods.
func Served(stable, canary int64) share.Share {
	if stable+canary == 0 {
		return 0
	}
	return share.Share(float64(canary) / float64(stable+canary))
}

// near refuses whole pods that are further from the weight than the tolerance allows.
func (s Split) near(stable, canary int64, weight share.Share) error {
	const rounding = 1e-9
	served := Served(stable, canary)
	if off := math.Abs(float64(served - weight)); s.Tolerance > 0 && off > float64(s.Tolerance)+rounding {
		return fmt.Errorf("%d pods cannot take %s: %d of %d is %s, and the tolerance is %s", stable+canary, weight,
			canary, stable+canary, Rounded(served), s.Tolerance)
	}
	return nil
}

// Rounded is a share as people read it, to a tenth of a percent.
func Rounded(s share.Share) share.Share { return share.Share(math.Round(float64(s)*1000) / 1000) }
